"""Determines which dead letters can be replayed, and the record to send for each."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from stream.config import Settings
from stream.core.event_time import HEADER_BYTES_MAX
from stream.core.records import OutputRecord, record_bytes
from stream.core.replay import (
    LeftOut,
    Origin,
    is_original,
    is_shortened,
    is_unreadable,
    original_timestamp,
    read_origin,
    replay_headers,
    replays_of,
)
from stream.kafka.clients import Admin, message_bytes_max
from stream.kafka.topics import Topics
from stream.tools.dead_letters.by_offset import RecordsByOffset
from stream.tools.dead_letters.selection import Selection
from stream.tools.dead_letters.state import ReplayState, group_options
from stream.tools.dead_letters.stored import StoredDeadLetter
from stream.tools.kafka.topic_reader import StoredRecord, read_topic


@dataclass(frozen=True, slots=True)
class Candidate:
    """A dead letter of this group and input topic that was not replayed.

    Attributes:
        record: the record to send; None if the dead letter is not selected or is left out.
        left_out: why a selected one cannot be sent.
    """

    letter: StoredDeadLetter
    origin: Origin
    record: OutputRecord | None = None
    left_out: LeftOut | None = None


@dataclass(slots=True)
class Tally:
    """Counts of dead letters, by what is done with them.

    Attributes:
        selected: number of dead letters to send, by reason of the rejection.
        left_out: number of selected dead letters that cannot be sent, by cause.
        examples: the position of the first one of each cause.
        replayed: number of selected dead letters that were replayed before, as far as they were read.
        others: number of records of other groups and input topics.
    """

    selected: Counter[str] = field(default_factory=Counter)
    left_out: Counter[LeftOut] = field(default_factory=Counter)
    examples: dict[LeftOut, str] = field(default_factory=dict)
    not_selected: int = 0
    replayed: int = 0
    others: int = 0

    def add(self, candidate: Candidate) -> None:
        """Count a candidate."""
        if candidate.left_out is not None:
            self.left_out[candidate.left_out] += 1
            self.examples.setdefault(candidate.left_out, candidate.letter.position)
        elif candidate.record is not None:
            self.selected[candidate.letter.reason] += 1
        else:
            self.not_selected += 1


def record_bytes_max(settings: Settings, topics: Topics) -> int:
    """Return the maximum size of a record to send, without the header for its timestamp."""
    return min(topics.input.record_bytes_max, message_bytes_max(settings)) - HEADER_BYTES_MAX


class Candidates:
    """Reads the dead letters that were not replayed."""

    def __init__(
        self, settings: Settings, admin: Admin, topics: Topics, selection: Selection, replays_max: int
    ) -> None:
        self._settings, self._admin, self._topics = settings, admin, topics
        self._selection = selection
        self._replays_max = replays_max
        self._record_bytes_max = record_bytes_max(settings, topics)

    def read(self, state: ReplayState, tally: Tally) -> Iterator[Candidate]:
        """Yield the candidates of all partitions, each partition in log order; count them.

        Raises:
            Retriable: the broker is unavailable.
        """
        settings, topics, options = self._settings, self._topics, group_options(self._settings)
        originals = RecordsByOffset(options, self._admin, topics.input.name, topics.input.partitions)
        source = settings.input_topic, settings.group_id
        reading = read_topic(
            options, self._admin, topics.dead_letter.name, start=dict(state.start), ends=state.ends
        )
        try:
            for record in reading:
                origin = read_origin(record.headers)
                if origin is None:
                    continue
                letter = StoredDeadLetter(record)
                if (origin.topic, origin.group) != source:
                    tally.others += 1
                elif state.has(record.partition, record.offset):
                    tally.replayed += self._selection.matches(letter)
                else:
                    candidate = self._candidate(letter, origin, originals)
                    tally.add(candidate)
                    yield candidate
        finally:
            originals.close()

    def _candidate(self, letter: StoredDeadLetter, origin: Origin, originals: RecordsByOffset) -> Candidate:
        if not self._selection.matches(letter):
            return Candidate(letter, origin)
        made = self._record(letter.record, origin, originals)
        if isinstance(made, LeftOut):
            return Candidate(letter, origin, left_out=made)
        return Candidate(letter, origin, made)

    def _record(
        self, dead_letter: StoredRecord, origin: Origin, originals: RecordsByOffset
    ) -> OutputRecord | LeftOut:
        """Return the record to send for a dead letter, or why there is none."""
        replays = replays_of(dead_letter.headers)
        if replays >= self._replays_max:
            return LeftOut.LIMIT
        if origin.partition >= self._topics.input.partitions:
            return LeftOut.NO_PARTITION
        if is_unreadable(dead_letter.headers):
            return LeftOut.UNREADABLE
        source = _whole(dead_letter, origin, originals)
        if isinstance(source, LeftOut):
            return source
        headers = replay_headers(source.headers, replays + 1)
        if record_bytes(source.key, source.value, headers) > self._record_bytes_max:
            return LeftOut.TOO_LARGE
        timestamp_ms = original_timestamp(source.headers, source.timestamp_ms)
        topic = self._settings.input_topic
        return OutputRecord(topic, origin.partition, source.key, source.value, headers, timestamp_ms)


def _whole(dead_letter: StoredRecord, origin: Origin, originals: RecordsByOffset) -> StoredRecord | LeftOut:
    """Return the dead letter, or the original if the dead letter lacks a part of it."""
    if not is_shortened(dead_letter.headers):
        return dead_letter
    original = originals.read(origin.partition, origin.offset)
    if original is None:
        return LeftOut.GONE
    return original if is_original(dead_letter.headers, original.value) else LeftOut.CHANGED
