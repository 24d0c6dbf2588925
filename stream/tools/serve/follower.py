"""Follows the three output topics in a thread, and measures their ends in another one."""

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import orjson

from stream.config import Settings
from stream.core.processed_offset import read_processed_offset
from stream.errors import Refused, Retriable, StreamError
from stream.kafka.clients import Admin, make_admin, reader_options
from stream.kafka.offsets import LogPartition, offset_ranges, partitions_of, stable_ends
from stream.kafka.reader import changes_of, processed_offset_headers
from stream.store.slots import folder_name
from stream.store.view import new_view, open_view
from stream.tools.kafka.ids import cluster_and_topic_ids
from stream.tools.kafka.topic_reader import stored_record
from stream.tools.kafka.topics_reader import LogChunk, TopicsReader
from stream.tools.serve.outcomes import RESULT, ReadOutcome, ResultReader, read_dead_letter
from stream.tools.serve.view import View

_READ_WAIT_S = 0.2
_MEASURED_S = 0.25  # between two measurements of the ends; bounds the precision of the age
# A response takes 2 ms, but librdkafka 2.16 sometimes waits 3 s for leaders that it knows: use a new client.
_ENDS_S_MAX = 0.5
_PARTITIONS_CHECKED_S = 10.0
_MIB = 1024 * 1024
FORMAT = 1  # of the view on disk


class Follower:
    """Reads the topics into a view until it is closed.

    Attributes:
        view: the content read so far.
        failure: why it stopped reading; None while it reads.
        topics: the topics that it reads.
        digest: digest of the dictionary that the last totals were counted with; empty if unknown.
    """

    def __init__(self, settings: Settings, view: View, *, only_new: Collection[str] = ()) -> None:
        """Start to follow; skip existing records of the topics in `only_new`.

        Raises:
            Retriable: the broker is unavailable.
            Fatal: a topic is missing.
        """
        self.view = view
        self.failure: StreamError | None = None
        self.digest = ""
        self._settings = settings
        self._results = ResultReader(settings.input_topic)
        self._admin: Admin | None = make_admin(settings)
        self._kinds = {topic: kind for kind, topic in view.outcome_topics.items()}
        self.topics = (settings.count_topic, *self._kinds)
        start = self._start_positions(self._admin, only_new)
        self._reader = TopicsReader(reader_options(settings), start)
        view.positions |= start
        self._known = set(start)
        self._added: dict[LogPartition, int] = {}
        self._closed = threading.Event()
        self._threads = [
            threading.Thread(target=self._guarded, args=(run,), name=name, daemon=True)
            for name, run in (("view", self._read), ("view-ends", self._measure))
        ]
        for thread in self._threads:
            thread.start()

    def check(self) -> None:
        """Check that it still reads.

        Raises:
            StreamError: it stopped, for this reason.
        """
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        """Stop, and write what was read."""
        self._closed.set()
        for thread in self._threads:
            thread.join(10)
        self._reader.close()
        self.view.close()

    def _start_positions(self, admin: Admin, only_new: Collection[str]) -> dict[LogPartition, int]:
        """Return the positions to read from: the stored ones, but none before the start of the log.

        Raises:
            Refused: a stored position lies beyond the end: the log was truncated.
        """
        start: dict[LogPartition, int] = {}
        for topic in self.topics:
            for partition, (first, end) in offset_ranges(
                admin, topic, partitions_of(admin, topic), stable=True
            ).items():
                known = self.view.positions.get((topic, partition))
                if known is not None and known > end:
                    raise Truncated(topic, partition, known, end)
                new = end if topic in only_new else first
                start[topic, partition] = new if known is None else max(known, first)
        return start

    def _guarded(self, run: Callable[[], None]) -> None:
        try:
            run()
        except StreamError as error:
            self.failure = self.failure or error
            self._closed.set()

    def _read(self) -> None:
        while not self._closed.is_set():
            if self._added:
                added, self._added = self._added, {}
                self._reader.add(added)
            for (topic, partition), chunk in self._read_chunks().items():
                if topic == self._settings.count_topic:
                    self._apply_totals(partition, chunk)
                else:
                    self._apply_outcomes(self._kinds[topic], partition, chunk)
            self.view.applied()

    def _read_chunks(self) -> Mapping[LogPartition, LogChunk]:
        try:
            return self._reader.read(_READ_WAIT_S)
        except Retriable:  # the age in responses shows how long it lasts
            self._closed.wait(_READ_WAIT_S)
            return {}

    def _apply_totals(self, partition: int, chunk: LogChunk) -> None:
        self.view.apply_totals(partition, changes_of(chunk.messages), chunk.position)
        processed = read_processed_offset(processed_offset_headers(chunk.messages))
        if processed is not None:
            self.digest = processed.digest

    def _apply_outcomes(self, kind: bytes, partition: int, chunk: LogChunk) -> None:
        outcomes: list[tuple[int, ReadOutcome]] = []
        for message in chunk.messages:
            offset = message.offset() or 0
            if kind == RESULT:
                timestamp_ms = message.timestamp()[1]
                outcome = self._results.read(offset, message.key(), message.value(), timestamp_ms)
            else:
                outcome = read_dead_letter(stored_record(message), self._settings)
            if outcome is not None:  # else a record of another input topic or group, or a foreign one
                outcomes.append((offset, outcome))
        self.view.apply_outcomes(kind, partition, outcomes, chunk.position)

    def _measure(self) -> None:
        partitions: dict[str, Sequence[int]] = {}
        checked_at = 0.0
        while not self._closed.wait(_MEASURED_S):
            try:
                admin = self._admin = self._admin or make_admin(self._settings)
                now = time.monotonic()
                if not partitions or now - checked_at >= _PARTITIONS_CHECKED_S:
                    partitions = {topic: partitions_of(admin, topic) for topic in self.topics}
                    checked_at = now
                    self._add_partitions(partitions)
                for topic, numbers in partitions.items():
                    measured_at = time.monotonic()
                    self.view.reached.measured(
                        topic, measured_at, stable_ends(admin, topic, numbers, _ENDS_S_MAX)
                    )
            except Retriable:
                self._admin = None  # replaced: after a crash of a broker it may never recover

    def _add_partitions(self, partitions: Mapping[str, Sequence[int]]) -> None:
        logs = {(topic, partition) for topic, numbers in partitions.items() for partition in numbers}
        new = logs - self._known
        self._known |= new
        if new:
            self._added = self._added | dict.fromkeys(new, 0)


class Truncated(Refused):
    """A log ends before the position of the view, so the view may contain records that no longer exist."""

    def __init__(self, topic: str, partition: int, position: int, end: int) -> None:
        super().__init__(
            f"partition {partition} of {topic} ends at {end}, but the view has read it up to {position}",
            "start again: the view is then rebuilt from the topics",
        )


def follow(settings: Settings, on_new_view: Callable[[str], None]) -> Follower:
    """Follow the topics with the view in the state folder; `on_new_view` takes the reason for a new view.

    Raises:
        Retriable: the broker is unavailable.
        Refused: another process uses the view.
        Fatal: a topic is missing, or the disk cannot hold the view.
    """
    topics = (settings.input_topic, settings.count_topic, settings.result_topic, settings.dead_letter_topic)
    cluster_id, ids = cluster_and_topic_ids(make_admin(settings), topics)
    names = {"cluster": cluster_id, "topics": ids, "group": settings.group_id, "format": FORMAT}
    identity = orjson.dumps(names, option=orjson.OPT_SORT_KEYS)
    path = view_path(settings)
    try:
        store, why = open_view(path, identity, settings.serve_outcomes_mib * _MIB)
    except Retriable as error:
        raise Refused(
            f"another `anagram-stream serve` uses the view {path}", "give each its own STREAM_STATE_DIR"
        ) from error
    try:
        follower = Follower(settings, View(settings, store))
    except Truncated as truncated:
        store.close()
        store, why = new_view(path, identity, settings.serve_outcomes_mib * _MIB), str(truncated)
        follower = Follower(settings, View(settings, store))
    except StreamError:
        store.close()
        raise
    if why:
        on_new_view(why)
    return follower


def view_path(settings: Settings) -> Path:
    """Return the folder of the view of this group."""
    return settings.state_dir / "serve" / folder_name(settings.group_id)
