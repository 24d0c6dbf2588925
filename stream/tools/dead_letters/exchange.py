"""Exports dead letters to lines of JSON for repair by hand, and imports the repaired ones.

A line names its dead letter, so an import sends each of them at most once, as a replay does.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path

from stream.config import Settings
from stream.core.dead_letter import is_of_dead_letter
from stream.core.records import OutputRecord, record_bytes
from stream.core.replay import LeftOut, original_timestamp, read_origin, replay_headers, replays_of
from stream.errors import Misconfigured
from stream.kafka.clients import Admin
from stream.kafka.topics import Topics
from stream.tools.dead_letters.by_offset import RecordsByOffset
from stream.tools.dead_letters.candidates import Candidate, Candidates, Tally, record_bytes_max
from stream.tools.dead_letters.lines import (
    DeadLetterPosition,
    ExportedLetter,
    InputPosition,
    content_fields,
    decode_letter,
    exported_header,
)
from stream.tools.dead_letters.selection import Selection
from stream.tools.dead_letters.sending import ReplayLimits, Sending, Unsent
from stream.tools.dead_letters.state import ReplayState, group_options, wait_for_state
from stream.tools.dead_letters.transactions import Replayed
from stream.tools.kafka.topic_reader import StoredRecord

LETTERS_MAX = 2**31  # an export has no limit on replays


def export(
    settings: Settings, admin: Admin, topics: Topics, selection: Selection, say: Callable[[str], None]
) -> Iterator[ExportedLetter]:
    """Yield the selected dead letters that were not replayed, including those that a replay leaves out.

    `say` as for `wait_for_state`.

    Raises:
        Refused: the broker is unavailable, or it is unknown what was replayed.
    """
    state = wait_for_state(settings, admin, topics, say)
    candidates = Candidates(settings, admin, topics, selection, LETTERS_MAX)
    for candidate in candidates.read(state, Tally()):
        if candidate.record is not None or candidate.left_out is not None:
            yield _exported(candidate, topics)


def _exported(candidate: Candidate, topics: Topics) -> ExportedLetter:
    letter, stored, origin = candidate.letter, candidate.letter.record, candidate.origin
    source = candidate.record or stored
    timestamp_ms = source.timestamp_ms
    if candidate.record is None:
        timestamp_ms = original_timestamp(stored.headers, stored.timestamp_ms)
    return ExportedLetter(
        dead_letter=DeadLetterPosition(
            topic_id=topics.dead_letter.id, partition=stored.partition, offset=stored.offset
        ),
        input=InputPosition(topic=origin.topic, partition=origin.partition, offset=origin.offset),
        reason=letter.reason,
        message=letter.message,
        failed_at=letter.header("dead-letter.failed-at"),
        replays=replays_of(stored.headers),
        left_out=None if candidate.left_out is None else candidate.left_out.value,
        timestamp_ms=-1 if timestamp_ms is None else timestamp_ms,
        headers=[exported_header(each) for each in source.headers if not is_of_dead_letter(each[0])],
        **content_fields("key", source.key),
        **content_fields("value", source.value),
    )


class Import:
    """Sends the dead letters of a file.

    Attributes:
        sending: sends them, and counts.
        tally: counts of the lines, by what is done with them.
    """

    def __init__(
        self, settings: Settings, admin: Admin, topics: Topics, path: Path, limits: ReplayLimits
    ) -> None:
        self._settings, self._admin, self._topics, self._path = settings, admin, topics, path
        self._limits = limits
        self._record_bytes_max = record_bytes_max(settings, topics)
        self.sending = Sending(settings, admin, topics, limits, in_order=False)
        self.tally = Tally()

    def check(self) -> None:
        """Check every line, so that nothing is sent if one is wrong.

        Raises:
            Retriable: the broker is unavailable.
            Misconfigured: a line is wrong, names no dead letter of this group, or repeats another line.
        """
        topic = self._topics.dead_letter
        stored = RecordsByOffset(group_options(self._settings), self._admin, topic.name, topic.partitions)
        with closing(stored):
            self._check_all(stored)

    def _check_all(self, stored: RecordsByOffset) -> None:
        seen: dict[tuple[int, int], int] = {}
        for number, letter in self._lines():
            position = letter.dead_letter.partition, letter.dead_letter.offset
            if (line := seen.setdefault(position, number)) != number:
                raise Misconfigured(
                    f"{self._path}:{number}: repeats the dead letter of line {line}; each can be sent once",
                    "remove one of the two lines",
                )
            self._check(letter, number)
            if not stored.is_deleted(*position):
                self._check_origin(letter, number, stored.read(*position))

    def preview(self, say: Callable[[str], None]) -> Tally:
        """Return what an import would send; nothing is sent. `say` as for `wait_for_state`.

        Raises:
            Refused: the broker is unavailable, or it is unknown what was replayed.
        """
        state = wait_for_state(self._settings, self._admin, self._topics, say)
        for _ in self._read(state):
            if self._limits.reached(self.tally.selected.total()):
                break
        return self.tally

    def run(self, on_progress: Callable[[int], None]) -> None:
        """Send the dead letters of the file; arguments and errors as for `Sending.run`."""
        self.sending.run(self._read, on_progress)

    def _read(self, state: ReplayState) -> Generator[Replayed | Unsent]:
        self.tally = Tally()
        for number, letter in self._lines():
            partition, offset = letter.dead_letter.partition, letter.dead_letter.offset
            made = self._record(letter, state)
            if made is None:
                self.tally.replayed += 1
            elif isinstance(made, LeftOut):
                self.tally.left_out[made] += 1
                self.tally.examples.setdefault(made, f"line {number}")
            else:
                self.tally.selected[letter.reason] += 1
                yield Replayed(partition, offset, letter.reason, made)

    def _record(self, letter: ExportedLetter, state: ReplayState) -> OutputRecord | LeftOut | None:
        """Return the record to send, why there is none, or None if it was sent before."""
        partition, offset = letter.dead_letter.partition, letter.dead_letter.offset
        if offset < state.first[partition]:
            return LeftOut.DELETED
        if state.has(partition, offset):
            return None
        if letter.left_out is not None:
            return LeftOut.UNFINISHED
        if letter.replays >= self._limits.replays_max:
            return LeftOut.LIMIT
        headers = replay_headers([each.header for each in letter.headers], letter.replays + 1)
        key, value = letter.key_bytes, letter.value_bytes
        if record_bytes(key, value, headers) > self._record_bytes_max:
            return LeftOut.TOO_LARGE
        return OutputRecord(
            letter.input.topic, letter.input.partition, key, value, headers, letter.timestamp_ms
        )

    def _lines(self) -> Iterator[tuple[int, ExportedLetter]]:
        with self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, decode_letter(line, f"{self._path}:{number}")

    def _check(self, letter: ExportedLetter, number: int) -> None:
        place, topics, hint = f"{self._path}:{number}", self._topics, "export the dead letters again"
        if letter.dead_letter.topic_id != topics.dead_letter.id:
            raise Misconfigured(
                f"{place}: the dead letter is from another topic: its id is {letter.dead_letter.topic_id}, "
                f"but {topics.dead_letter.name} has {topics.dead_letter.id}",
                "set STREAM_DEAD_LETTER_TOPIC and STREAM_BOOTSTRAP_SERVERS to those of the export",
            )
        if letter.dead_letter.partition >= topics.dead_letter.partitions:
            partition = letter.dead_letter.partition
            raise Misconfigured(f"{place}: {topics.dead_letter.name} has no partition {partition}", hint)
        if letter.input.topic != topics.input.name:
            raise Misconfigured(
                f"{place}: its record is from the topic {letter.input.topic}",
                f"set STREAM_INPUT_TOPIC={letter.input.topic}",
            )
        if letter.input.partition >= topics.input.partitions:
            raise Misconfigured(
                f"{place}: {topics.input.name} has no partition {letter.input.partition}",
                f"set `input.partition` to a number below {topics.input.partitions}",
            )

    def _check_origin(self, letter: ExportedLetter, number: int, stored: StoredRecord | None) -> None:
        """Check that the line names a dead letter of this group and its original record."""
        origin = None if stored is None else read_origin(stored.headers)
        place, group = f"{self._path}:{number}", self._settings.group_id
        position = f"{letter.dead_letter.partition}:{letter.dead_letter.offset}"
        if origin is None or (origin.topic, origin.offset) != (letter.input.topic, letter.input.offset):
            raise Misconfigured(
                f"{place}: {self._topics.dead_letter.name} has no dead letter of {letter.input.topic}, "
                f"offset {letter.input.offset}, at {position}",
                "export the dead letters again; do not change `dead_letter` or the offset in `input`",
            )
        if origin.group != group:
            raise Misconfigured(
                f"{place}: the dead letter is from the group {origin.group}, not from {group}",
                f"set STREAM_GROUP_ID={origin.group}",
            )
