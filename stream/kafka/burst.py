"""Runs of records. A small transaction produces its runs in one burst, the first record of each log first.

librdkafka asks the coordinator to add the partitions of all records so far to the transaction, and those of
later records only after the response. So this order saves a round trip.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self, cast

from stream.core.columns import OutputRecords
from stream.core.fold import Changes
from stream.core.records import Header, OutputRecord
from stream.kafka.offsets import LogPartition

BURST_RECORDS_MAX, BURST_BYTES_MAX = 4_000, 1 << 20


@dataclass(frozen=True, slots=True)
class Run:
    """Records for one log, in columns.

    Attributes:
        log: topic and partition.
        timestamps_ms: the timestamp of each record, 0 for the current time; empty if no record has a
            timestamp or headers.
        headers: the headers of each record; empty if `timestamps_ms` is empty.
        is_reported: whether the delivery report of the last record is awaited.
    """

    log: LogPartition
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    timestamps_ms: Sequence[int] = ()
    headers: Sequence[Sequence[Header]] = ()
    is_reported: bool = False

    @classmethod
    def of_record(cls, record: OutputRecord, partition: int) -> Self:
        """Return the run of one record, whose delivery is reported."""
        stamp = max(0, record.timestamp_ms or 0)
        return cls(
            (record.topic, partition),
            [record.key],
            [record.value],
            [stamp],
            [record.headers],
            is_reported=True,
        )

    @classmethod
    def of_results(cls, results: OutputRecords) -> Self:
        """Return the run of results, each with a timestamp; the delivery of the last one is reported."""
        log, stamps = (results.topic, results.partition), cast("list[int]", results.timestamps_ms)
        return cls(log, results.keys, results.values, stamps, results.headers, is_reported=True)

    @classmethod
    def of_changes(cls, log: LogPartition, changes: Changes, headers: Sequence[Header]) -> tuple[Self, Self]:
        """Return the run of all changed totals but the last, and the run of the last, which is reported."""
        *keys, last_key = changes
        *totals, last_total = changes.values()
        return cls(log, keys, totals), cls(log, [last_key], [last_total], [0], [headers], is_reported=True)

    def __len__(self) -> int:
        return len(self.values)

    def split(self, position: int) -> tuple[Self, Self]:
        """Return the records before a position, and those from there on; only the last record is reported."""
        if len(self) <= position:
            return self, self._part(slice(0, 0), is_reported=False)
        before = self._part(slice(position), is_reported=False)
        return before, self._part(slice(position, None), is_reported=self.is_reported)

    def _part(self, part: slice, *, is_reported: bool) -> Self:
        return replace(
            self,
            keys=self.keys[part],
            values=self.values[part],
            timestamps_ms=self.timestamps_ms[part],
            headers=self.headers[part],
            is_reported=is_reported,
        )


class Burst:
    """Holds back the runs of a transaction while it is small, then passes them on in a better order."""

    def __init__(self, produce: Callable[[Run], None]) -> None:
        self._produce = produce
        self._held: list[Run] | None = []  # None: they were passed on
        self._records = 0
        self._bytes = 0

    def add(self, run: Run) -> None:
        """Hold back a run, or pass it on at once if the transaction is not small."""
        if not run:
            return
        if self._held is None:
            self._produce(run)
            return
        self._held.append(run)
        self._records += len(run)
        self._bytes += sum(map(len, filter(None, run.values)))
        if self._records > BURST_RECORDS_MAX or self._bytes > BURST_BYTES_MAX:
            self.release()

    def release(self) -> None:
        """Pass on the runs that are held back, the first record of each log first."""
        held, self._held = self._held or [], None
        started, rest = set[LogPartition](), list[Run]()
        for run in held:
            if run.log in started:
                rest.append(run)
            else:
                started.add(run.log)
                first, others = run.split(1)
                self._produce(first)
                rest.append(others)
        for run in filter(None, rest):
            self._produce(run)
