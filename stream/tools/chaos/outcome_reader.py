"""Reads the outputs with read_committed during a campaign, and again at its end for comparison."""

import threading
import time
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import orjson

from stream.config import Settings
from stream.core.processed_offset import read_processed_offset
from stream.core.skipped import read_skipped
from stream.errors import Retriable, StreamError
from stream.kafka.clients import make_admin, reader_options
from stream.tools.kafka.topic_reader import StoredRecord, read_topic

TopicPartition = tuple[str, int]
START_S_MAX, RETRY_S = 60.0, 0.2


@dataclass(slots=True)
class SeenOutcomes:
    """The results and dead letters that a reader saw; 16 bytes per record.

    Attributes:
        offsets: topic and partition -> offsets, in the order of reading.
        values: topic and partition -> a hash of each record, in the same order.
        disordered: results whose input does not follow the input of the previous result.
        outcomes: number of results and dead letters.
    """

    offsets: dict[TopicPartition, "array[int]"] = field(
        default_factory=lambda: defaultdict(lambda: array("q"))
    )
    values: dict[TopicPartition, "array[int]"] = field(
        default_factory=lambda: defaultdict(lambda: array("q"))
    )
    disordered: int = 0
    outcomes: int = 0
    _last_input: dict[int, int] = field(default_factory=dict)  # input partition -> offset

    def add(self, record: StoredRecord) -> tuple[int, int]:
        """Add a result or a dead letter; return partition and offset of its input."""
        topic_partition = record.topic, record.partition
        self.offsets[topic_partition].append(record.offset)
        self.values[topic_partition].append(hash((record.key, record.value)))
        self.outcomes += 1
        headers = dict(record.headers)
        partition = headers.get("__streams.errors.partition")
        if partition is not None:
            return int(partition), int(headers["__streams.errors.offset"] or b"")
        source = orjson.loads(record.value or b"{}")["source"]
        if source["offset"] <= self._last_input.get(source["partition"], -1):
            self.disordered += 1
        self._last_input[source["partition"]] = source["offset"]
        return source["partition"], source["offset"]

    def missing_in(self, final: "SeenOutcomes") -> int:
        """Count the records that the final reader did not see: aborted ones, which no reader may see."""
        missing = 0
        for topic_partition, offsets in self.offsets.items():
            values = self.values[topic_partition]
            final_values = dict(
                zip(final.offsets[topic_partition], final.values[topic_partition], strict=True)
            )
            missing += sum(
                final_values.get(offset) != value for offset, value in zip(offsets, values, strict=True)
            )
        return missing


class OutcomeReader:
    """Reads results, dead letters and totals as they are committed, each topic in its own thread.

    Attributes:
        seen: the outcomes so far.
        offsets: input partition -> the offset after the last input with an outcome.
        transaction_records_max: maximum number of totals that one transaction wrote to one partition.
    """

    def __init__(self, settings: Settings, partitions: int) -> None:
        self.seen = SeenOutcomes()
        self.offsets = dict.fromkeys(range(partitions), 0)
        self.transaction_records_max = 0
        self._settings = settings
        self._totals_written = dict.fromkeys(range(partitions), 0)
        self._lock = threading.Lock()
        self._failed: StreamError | None = None
        self._stopped = threading.Event()
        handlers: Mapping[str, Callable[[StoredRecord], None]] = {
            settings.result_topic: self._add_outcome,
            settings.dead_letter_topic: self._add_outcome,
            settings.count_topic: self._count_total,
        }
        self._threads = [
            threading.Thread(target=self._follow, args=(topic, handle), daemon=True, name=f"read {topic}")
            for topic, handle in handlers.items()
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def check(self) -> None:
        """Raise the error that stopped a reader, if any."""
        if self._failed is not None:
            raise self._failed

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(10)

    def _follow(self, topic: str, handle: Callable[[StoredRecord], None]) -> None:
        options, deadline = reader_options(self._settings), time.monotonic() + START_S_MAX
        while not self._stopped.is_set():
            try:
                for record in read_topic(
                    options, make_admin(self._settings), topic, follow=lambda: not self._stopped.is_set()
                ):
                    handle(record)
            except StreamError as error:
                # A reader that follows raises Retriable only at its start: brokers learn of a new topic late.
                if not isinstance(error, Retriable) or time.monotonic() >= deadline:
                    self._failed = error  # `check` raises it
                    return
                self._stopped.wait(RETRY_S)

    def _add_outcome(self, record: StoredRecord) -> None:
        if read_skipped(record.headers) is not None:  # not an outcome: input that an operator skipped
            return
        with self._lock:
            partition, offset = self.seen.add(record)
            self.offsets[partition] = max(self.offsets[partition], offset + 1)

    def _count_total(self, record: StoredRecord) -> None:
        self._totals_written[record.partition] += 1
        if read_processed_offset(record.headers) is not None:
            self.transaction_records_max = max(
                self.transaction_records_max, self._totals_written[record.partition]
            )
            self._totals_written[record.partition] = 0


def read_final_outcomes(settings: Settings) -> SeenOutcomes:
    """Read all committed results and dead letters."""
    seen = SeenOutcomes()
    for record in _outcomes(settings, "read_committed"):
        seen.add(record)
    return seen


def count_written_records(settings: Settings) -> int:
    """Count all results and dead letters, committed and aborted."""
    return sum(1 for _ in _outcomes(settings, "read_uncommitted"))


def _outcomes(settings: Settings, isolation: str) -> Iterable[StoredRecord]:
    options = {**reader_options(settings), "isolation.level": isolation}
    for topic in (settings.result_topic, settings.dead_letter_topic):
        for record in read_topic(options, make_admin(settings), topic):
            if read_skipped(record.headers) is None:
                yield record


class StallTimer:
    """Measures how long a partition has input without an outcome.

    Attributes:
        worst_s: the longest stall since the last `reset`.
    """

    def __init__(self) -> None:
        self.worst_s = 0.0
        self._since: dict[int, tuple[int, float]] = {}  # partition -> its offset, and the time since then

    def update(self, ends: Mapping[int, int], outcome_offsets: Mapping[int, int]) -> None:
        """Compare the ends of the input with the offsets after the last outcomes."""
        now = time.monotonic()
        for partition, end in ends.items():
            offset = outcome_offsets[partition]
            last_offset, since = self._since.get(partition, (-1, now))
            if offset >= end or offset != last_offset:
                self._since[partition] = offset, now
            else:
                self.worst_s = max(self.worst_s, now - since)

    def reset(self) -> float:
        """Return the longest stall and start over; a stall that continues keeps its start."""
        worst, self.worst_s = self.worst_s, 0.0
        return worst
