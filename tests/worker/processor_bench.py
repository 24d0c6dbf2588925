"""A processor without a worker, and a fold that counts every record as one item."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from stream.core.columns import InputRecords
from stream.core.evidence import CommittedOffset
from stream.core.fold import Changes, Chunk, Fold
from stream.core.records import InputRecord, OutputRecord
from stream.errors import Rejected
from stream.ports import AssignmentListener, Batch, Clock
from stream.store.memory import MemoryDisk, MemoryStore
from stream.worker.assignment import Assignment, PartitionState
from stream.worker.fault_injection import FaultInjectingFold, FaultInjectingSource, Rejections, Stages
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
    """Makes a result from every record, except those at the offsets in `rejecting`."""

    digest = "count"

    def __init__(self, rejecting: Mapping[int, Rejected] | None = None) -> None:
        self.processed: list[int] = []  # offsets, in the order of processing
        self._rejecting = rejecting or {}

    def process(self, records: InputRecords) -> Chunk:
        self.processed += records.offsets
        outcomes = [self._rejecting.get(record.offset) or _result(record) for record in records]
        counted = sum(isinstance(outcome, OutputRecord) for outcome in outcomes)
        return Chunk.of(outcomes, counted, counted)

    def load(self, stored: Iterable[tuple[bytes, bytes]]) -> CountTotals:
        return CountTotals(stored)

    def validate(self, changes: Changes) -> None: ...


def _result(record: InputRecord) -> OutputRecord:
    return OutputRecord("out", record.partition, None, b"counted %d" % record.offset)


def to_dead_letter(record: InputRecord, rejected: Rejected) -> OutputRecord:
    return OutputRecord("dead", record.partition, None, b"%d: %b" % (record.offset, rejected.reason.encode()))


def make_processor(
    clock: Clock,
    fold: Fold | None = None,
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


def take(processor: Processor, records: Iterable[InputRecord]) -> list[OutputRecord]:
    """Process a batch of these records and return the output of all its chunks."""
    return [record for outputs in processor.process(Batch.of(records)) for record in chain(*outputs)]


def values(outputs: Sequence[OutputRecord], partition: int = 0) -> list[bytes | None]:
    return [record.value for record in outputs if record.partition == partition]


class OneBatchSource:
    """A source with one prepared batch."""

    def __init__(self) -> None:
        self.records: list[InputRecord] = []
        self.rewound: dict[int, int] = {}
        self.listener: AssignmentListener | None = None

    def subscribe(self, listener: AssignmentListener) -> None:
        self.listener = listener

    def poll_batch(self, wait_s: float) -> Batch:
        return Batch.of(self.records)

    def rewind(self, offsets: Mapping[int, int]) -> None:
        self.rewound = dict(offsets)

    def committed(self, partitions: Sequence[int]) -> Mapping[int, CommittedOffset | None]:
        raise NotImplementedError

    def offset_range(self, partition: int) -> tuple[int, int]:
        raise NotImplementedError

    def resume_from(self, partition: int, offset: int, leader_epoch: int) -> None: ...

    def pause(self, partition: int) -> None: ...

    def close(self) -> None: ...


class StagedBench:
    """A source whose records must pass stages, and a processor behind it."""

    def __init__(
        self, stages: Stages, clock: Clock, *, deadline_s: float = FAR_S, partitions: int = 1
    ) -> None:
        self.fold, self._one_batch = CountFold(), OneBatchSource()
        rejections: Rejections = {}
        self.source = FaultInjectingSource(self._one_batch, stages, rejections, clock, deadline_s)
        fold = FaultInjectingFold(self.fold, rejections)
        self.processor = make_processor(clock, fold, partitions=partitions)

    def process(self, records: Sequence[InputRecord]) -> list[OutputRecord]:
        """Poll a batch of these records, process it, and return its results and dead letters."""
        self._one_batch.records = [*records]
        return take(self.processor, self.source.poll_batch(0))

    @property
    def unprocessed(self) -> dict[int, int]:
        """The offsets that the source was rewound to by the last poll."""
        return self._one_batch.rewound

    def revoke(self, partition: int) -> None:
        """Revoke a partition as the group does."""
        self.source.subscribe(NoListener())
        assert self._one_batch.listener is not None
        self._one_batch.listener.revoked([partition])


class NoListener:
    def assigned(self, partitions: Sequence[int]) -> None: ...

    def revoked(self, partitions: Sequence[int]) -> None: ...

    def lost(self, partitions: Sequence[int]) -> None: ...
