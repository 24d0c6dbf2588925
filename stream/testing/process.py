"""One worker process on the fake cluster: the real worker, wired to the fakes."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stream.core.dead_letter import DeadLetterFactory, to_dead_letter
from stream.core.fold import Fold
from stream.core.records import InputRecord, OutputRecord
from stream.errors import Rejected
from stream.exercise.faults import FaultPlan
from stream.exercise.faults import Faults as StageFaults
from stream.ports import Clock
from stream.store.memory import MemoryDisk
from stream.testing.cluster import FakeCluster
from stream.testing.faults import Faults
from stream.testing.names import Names
from stream.testing.observer import FakeObserver
from stream.testing.reader import FakeReader
from stream.testing.sink import FakeSink
from stream.testing.source import FakeSource
from stream.testing.stores import FakeStores
from stream.worker.assignment import Assignment
from stream.worker.fault_injection import (
    FaultInjectingFold,
    FaultInjectingSource,
    InjectedStages,
    Rejections,
    SharedWaits,
    Stages,
    Tokens,
)
from stream.worker.loop import Worker
from stream.worker.processing import CHUNK_RECORDS, ProcessingLimits, Processor
from stream.worker.restore import STALLED_S_MAX, RestoreConfig, Restorer
from stream.worker.retry import Retrier

BYTES_MAX = 1 << 20


def split_value(record: InputRecord) -> list[str]:
    """Return the words of a value, split at white space."""
    return (record.value or b"").decode(errors="replace").split()


@dataclass(frozen=True, slots=True)
class Tuning:
    """The limits of a fake worker, and its fault plan.

    Attributes:
        batch_records_max: maximum number of records in one transaction.
        restore_records_max: maximum number of records in one step of restore, per partition.
        retry_attempts_max: maximum number of attempts of a stage that fails.
        batch_deadline_s: how long the retries of one batch may take.
        rejected_in_a_row_max: dead letters in a row on one partition; 0 means no limit.
        unwritten_records_max: records that restore reads before it writes them to the store.
        processing_s_max: how long a batch is processed within its transaction.
        chunk_records: number of records processed at a time.
        plan: which stages fail on purpose.
        tokens: returns the words of a record, for the plan.
    """

    batch_records_max: int = 100
    restore_records_max: int = 100
    retry_attempts_max: int = 3
    batch_deadline_s: float = 30.0
    rejected_in_a_row_max: int = 0
    unwritten_records_max: int = 100
    processing_s_max: float = 30.0
    chunk_records: int = CHUNK_RECORDS
    plan: FaultPlan | None = None
    tokens: Tokens = split_value


class FakeProcess:
    """A worker process.

    Attributes:
        instance: its stable name, which is part of its transactional id.
        observer: keeps the events of the worker.
        worker: the real one.
    """

    def __init__(  # noqa: PLR0913 - the parts of a process
        self,
        cluster: FakeCluster,
        names: Names,
        fold: Fold,
        *,
        instance: str = "worker-0",
        disks: dict[int, MemoryDisk] | None = None,
        faults: Faults | None = None,
        tuning: Tuning | None = None,
        disturb: Callable[[InputRecord], None] = lambda _: None,
        rng: random.Random | None = None,
    ) -> None:
        """`disturb` is called before each record is processed, and may raise StageFailed."""
        tuning, clock = tuning or Tuning(), cluster.clock
        self.instance = instance
        self.faults = faults or Faults()
        self.observer = FakeObserver()
        identity = cluster.topic_id(names.input), cluster.topic_id(names.counts), fold.digest
        self.stores = FakeStores(disks, self.faults, identity)
        self.source = FakeSource(
            cluster, names.input, names.group, self.faults, records_max=tuning.batch_records_max
        )
        self.sink = FakeSink(cluster, names, f"{names.group}-{instance}", self.faults)
        self.reader = FakeReader(cluster, names.counts, self.faults, records_max=tuning.restore_records_max)
        self.assignment = Assignment()
        rejections: Rejections = {}
        self._worker_source = self._fault_injecting(rejections, disturb, clock, tuning, rng)
        fold = FaultInjectingFold(fold, rejections)
        limits = ProcessingLimits(tuning.rejected_in_a_row_max, tuning.processing_s_max, tuning.chunk_records)
        self.processor = Processor(
            fold, dead_letter_factory(names, clock.now), self.assignment, clock, limits
        )
        self.restorer = self._restorer(fold, names, clock, tuning)
        self.worker = Worker(
            self._worker_source,
            self.sink,
            self.reader,
            self.processor,
            self.assignment,
            self.restorer,
            clock,
            self.observer,
        )
        self._group = cluster.group(names.group, names.input)
        self._has_joined = False

    def _restorer(self, fold: Fold, names: Names, clock: Clock, tuning: Tuning) -> Restorer:
        return Restorer(
            self.source,
            self.sink,
            self.reader,
            self.stores,
            fold,
            self.assignment,
            clock,
            self.observer,
            RestoreConfig(
                names.by_role,
                STALLED_S_MAX,
                tuning.unwritten_records_max,
            ),
        )

    def _fault_injecting(
        self,
        rejections: Rejections,
        disturb: Callable[[InputRecord], None],
        clock: Clock,
        tuning: Tuning,
        rng: random.Random | None,
    ) -> FaultInjectingSource:
        rng = rng or random.Random(0)  # noqa: S311 - jitter, the same each time
        attempts_max, deadline_s = tuning.retry_attempts_max, tuning.batch_deadline_s
        if tuning.plan is None:
            stages: Stages = DisturbedStage(disturb, Retrier(clock, self.observer, attempts_max, rng))
            return FaultInjectingSource(self.source, stages, rejections, clock, deadline_s)
        waits = SharedWaits(clock)
        retrier = Retrier(waits, self.observer, attempts_max, rng)
        injected = InjectedStages(StageFaults(tuning.plan), tuning.tokens, retrier, waits)
        stages = StagesInOrder([injected, DisturbedStage(disturb, retrier)])
        return FaultInjectingSource(self.source, stages, rejections, waits, deadline_s)

    def run_once(self) -> None:
        """Do what `Worker.run` does, one pass per call: get a producer, join the group, work."""
        if not self._has_joined and self.sink.is_ready:
            self._worker_source.subscribe(self.worker)
            self._has_joined = True
        self.worker.run_once()

    def is_settled(self) -> bool:
        """Whether it is a member of the group and owns its share of the partitions, which all run."""
        return (
            self.source.member is not None
            and self._group.has(self.source.member)
            and self.source.assigned == self._group.target(self.source.member)
            and self.assignment.is_settled()
        )

    def pause(self) -> None:
        """Stop as SIGSTOP does: no heartbeats."""
        self._beat(beating=False)

    def resume(self) -> None:
        """Continue; if the group removed it meanwhile, the next `poll_batch` reports that."""
        self._beat(beating=True)

    def crash(self) -> None:
        """Die as kill -9 does: no heartbeats, no locks, but an open transaction and the membership stay."""
        self._beat(beating=False)
        self.stores.crash()

    def _beat(self, *, beating: bool) -> None:
        if self.source.member is not None:
            self._group.beat(self.source.member, beating=beating)


class DisturbedStage:
    """One stage that a test makes fail."""

    def __init__(self, disturb: Callable[[InputRecord], None], retrier: Retrier) -> None:
        self._disturb = disturb
        self._retrier = retrier

    def run(self, record: InputRecord, deadline: float) -> None:
        self._retrier.call((record.partition, record.offset), lambda: self._disturb(record), deadline)

    def end_batch(self) -> None:
        pass

    def forget(self, partition: int) -> None:
        self._retrier.forget(partition)


class StagesInOrder:
    """Runs several stages, one after the other."""

    def __init__(self, stages: Sequence[Stages]) -> None:
        self._stages = stages

    def run(self, record: InputRecord, deadline: float) -> None:
        for stage in self._stages:
            stage.run(record, deadline)

    def end_batch(self) -> None:
        for stage in self._stages:
            stage.end_batch()

    def forget(self, partition: int) -> None:
        for stage in self._stages:
            stage.forget(partition)


def dead_letter_factory(names: Names, now: Callable[[], float]) -> DeadLetterFactory:
    """Return a function that turns a rejected record into a dead letter."""

    def make(record: InputRecord, rejected: Rejected) -> OutputRecord:
        return to_dead_letter(
            record,
            rejected,
            topic=names.dead_letters,
            group=names.group,
            failed_at=str(now()),
            bytes_max=BYTES_MAX,
        )

    return make
