"""A processor without a worker, and a fold that counts every record as one item."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from stream.core.fold import Changes, Chunk
from stream.core.records import InputRecord, OutputRecord
from stream.errors import Rejected
from stream.ports import Batch, Clock
from stream.store.memory import MemoryDisk, MemoryStore
from stream.worker.assignment import Assignment, PartitionState
from stream.worker.fault_injection import FaultInjectingProcessor
from stream.worker.processing import ProcessingLimits, Processor

FAR_S = 1e9


@dataclass(frozen=True)
class ChangedCount:
    changes: Changes
    apply: Callable[[], None]


class CountTotals:
    """One total, under the key `n`."""

    def __init__(self, stored: Iterable[tuple[bytes, bytes]]) -> None:
        self._total = int(dict(stored).get(b"n", b"0"))

    def compute_changes(self, deltas: Sequence[int]) -> ChangedCount:
        total = self._total + sum(deltas)
        return ChangedCount({b"n": b"%d" % total} if sum(deltas) else {}, lambda: self._set(total))

    def _set(self, total: int) -> None:
        self._total = total


class CountFold:
    """Makes a result of every record, except those at the offsets in `rejecting`."""

    digest = "count"

    def __init__(self, rejecting: Mapping[int, Rejected] | None = None) -> None:
        self.processed: list[int] = []  # offsets, in the order in which they came
        self._rejecting = rejecting or {}

    def process(self, records: Sequence[InputRecord]) -> Chunk:
        self.processed += [record.offset for record in records]
        outcomes = [self._rejecting.get(record.offset) or _result(record) for record in records]
        counted = sum(isinstance(outcome, OutputRecord) for outcome in outcomes)
        return Chunk(outcomes, counted, counted)

    def load(self, stored: Iterable[tuple[bytes, bytes]]) -> CountTotals:
        return CountTotals(stored)

    def validate(self, changes: Changes) -> None: ...


def _result(record: InputRecord) -> OutputRecord:
    return OutputRecord("out", record.partition, None, b"counted %d" % record.offset)


def to_dead_letter(record: InputRecord, rejected: Rejected) -> OutputRecord:
    return OutputRecord("dead", record.partition, None, b"%d: %b" % (record.offset, rejected.reason.encode()))


def make_processor(
    clock: Clock,
    fold: CountFold | None = None,
    *,
    partitions: int = 1,
    rejected_in_a_row_max: int = 0,
    processing_s_max: float = FAR_S,
) -> Processor:
    assignment = Assignment()
    for number in range(partitions):
        assignment.add(number)
        assignment[number].store = MemoryStore(MemoryDisk())
        assignment[number].move(PartitionState.RUNNING)
    limits = ProcessingLimits(rejected_in_a_row_max, processing_s_max)
    return Processor(fold or CountFold(), to_dead_letter, assignment, clock, limits)


def take(
    processor: Processor | FaultInjectingProcessor, records: Sequence[InputRecord]
) -> list[OutputRecord]:
    """Process a batch of these records, and take all its chunks."""
    return [record for chunk in processor.process(Batch([*records])) for record in chunk]


def values(outputs: Sequence[OutputRecord], partition: int = 0) -> list[bytes | None]:
    return [record.value for record in outputs if record.partition == partition]
