"""A read_committed reader that runs throughout, and the final one that it is compared with."""

import threading
import time
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import orjson

from stream.config import Settings
from stream.core.processed_offset import read_processed_offset
from stream.errors import StreamError
from stream.kafka.clients import make_admin, reader_options
from stream.kafka.reader import StoredRecord, read_topic

At = tuple[str, int]
"""Topic and partition."""


@dataclass(slots=True)
class Seen:
    """What a reader saw of results and dead letters, 16 bytes a record.

    Attributes:
        offsets: topic and partition -> offsets, in the order of reading.
        values: the same for a hash of each record.
        disordered: results that did not follow their predecessor's input.
    """

    offsets: dict[At, "array[int]"] = field(default_factory=lambda: defaultdict(lambda: array("q")))
    values: dict[At, "array[int]"] = field(default_factory=lambda: defaultdict(lambda: array("q")))
    disordered: int = 0
    outcomes: int = 0
    _input: dict[int, int] = field(default_factory=dict)

    def outcome(self, record: StoredRecord) -> tuple[int, int]:
        """Take a result or a dead letter; return partition and offset of its input."""
        at = record.topic, record.partition
        self.offsets[at].append(record.offset)
        self.values[at].append(hash((record.key, record.value)))
        self.outcomes += 1
        named = dict(record.headers)
        partition = named.get("__streams.errors.partition")
        if partition is not None:
            return int(partition), int(named["__streams.errors.offset"] or b"")
        source = orjson.loads(record.value or b"{}")["source"]
        if source["offset"] <= self._input.get(source["partition"], -1):
            self.disordered += 1
        self._input[source["partition"]] = source["offset"]
        return source["partition"], source["offset"]

    def missing_in(self, final: "Seen") -> int:
        """Count records that we saw and the final reader did not: aborted ones, seen by mistake."""
        missing = 0
        for at, offsets in self.offsets.items():
            others = dict(zip(final.offsets[at], final.values[at], strict=True))
            missing += sum(
                others.get(offset) != value for offset, value in zip(offsets, self.values[at], strict=True)
            )
        return missing


class Instruments:
    """Follows results, dead letters and totals, each in a thread of its own.

    Attributes:
        seen: outcomes so far.
        offsets: input partition -> the offset after the last input with an outcome.
        transaction_records_max: most totals of one transaction and partition.
        transactions: that changed totals, by partition.
    """

    def __init__(self, settings: Settings, partitions: int) -> None:
        self.seen = Seen()
        self.offsets = dict.fromkeys(range(partitions), 0)
        self.transaction_records_max = 0
        self.transactions = 0
        self._settings = settings
        self._run = dict.fromkeys(range(partitions), 0)
        self._lock = threading.Lock()
        self._failed: StreamError | None = None
        self._stopped = threading.Event()
        followed: Mapping[str, Callable[[StoredRecord], None]] = {
            settings.result_topic: self._outcome,
            settings.dead_letter_topic: self._outcome,
            settings.count_topic: self._total,
        }
        self._threads = [
            threading.Thread(target=self._follow, args=(topic, take), daemon=True, name=f"watch {topic}")
            for topic, take in followed.items()
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def check(self) -> None:
        """Raise what a reader met that it must not meet."""
        if self._failed is not None:
            raise self._failed

    def stop(self) -> None:
        """End."""
        self._stopped.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(10)

    def _follow(self, topic: str, take: Callable[[StoredRecord], None]) -> None:
        options = reader_options(self._settings)
        try:
            for record in read_topic(
                options, make_admin(self._settings), topic, follow=lambda: not self._stopped.is_set()
            ):
                take(record)
        except StreamError as error:  # raised again where it is checked
            self._failed = error

    def _outcome(self, record: StoredRecord) -> None:
        with self._lock:
            partition, offset = self.seen.outcome(record)
            self.offsets[partition] = max(self.offsets[partition], offset + 1)

    def _total(self, record: StoredRecord) -> None:
        self._run[record.partition] += 1
        if read_processed_offset(record.headers) is not None:
            self.transaction_records_max = max(self.transaction_records_max, self._run[record.partition])
            self._run[record.partition] = 0
            self.transactions += 1


def final_reading(settings: Settings) -> Seen:
    """Read results and dead letters once more, from the beginning."""
    seen = Seen()
    for record in _both(settings, "read_committed"):
        seen.outcome(record)
    return seen


def records_written(settings: Settings) -> int:
    """Count results and dead letters whether committed or aborted."""
    return sum(1 for _ in _both(settings, "read_uncommitted"))


def _both(settings: Settings, isolation: str) -> Iterable[StoredRecord]:
    options = {**reader_options(settings), "isolation.level": isolation}
    for topic in (settings.result_topic, settings.dead_letter_topic):
        yield from read_topic(options, make_admin(settings), topic)


class Stalls:
    """How long each partition had input and no outcome.

    Attributes:
        worst_s: since the last `reset`.
    """

    def __init__(self) -> None:
        self.worst_s = 0.0
        self._since: dict[int, tuple[int, float]] = {}  # partition -> where it stands, since when

    def look(self, inputs: Mapping[int, int], outcomes: Mapping[int, int]) -> None:
        """Compare the ends of the input with the offsets after the last outcome."""
        now = time.monotonic()
        for partition, end in inputs.items():
            stands = outcomes[partition]
            at, since = self._since.get(partition, (-1, now))
            if stands >= end or stands != at:
                self._since[partition] = stands, now
            else:
                self.worst_s = max(self.worst_s, now - since)

    def reset(self) -> float:
        """Return the worst, and begin anew; a stall that goes on counts on."""
        worst, self.worst_s = self.worst_s, 0.0
        return worst
