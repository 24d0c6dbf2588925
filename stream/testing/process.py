"""One worker process on the fake cluster: the real worker, wired to the fakes."""

import random
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from stream.core.codec import ResultEncoder, decode_blob
from stream.core.dead_letter import to_dead_letter
from stream.core.dictionary import AnagramIndex
from stream.core.engine import Engine
from stream.core.fold import BlobCounter
from stream.core.lexicon import make_lexicon
from stream.core.records import InputRecord, OutputRecord
from stream.core.text import words
from stream.errors import Rejected
from stream.exercise.faults import FaultPlan
from stream.exercise.faults import Faults as StageFaults
from stream.ports import Clock, Joined
from stream.store.memory import MemoryDisk
from stream.testing.cluster import FakeCluster
from stream.testing.faults import Faults
from stream.testing.names import Names
from stream.testing.observer import FakeObserver
from stream.testing.reader import FakeReader
from stream.testing.sink import FakeSink
from stream.testing.source import FakeSource
from stream.testing.stores import FakeStores
from stream.worker.counted import Limits
from stream.worker.fault_injection import FaultInjectingProcessor, SharedWaits
from stream.worker.loop import Worker
from stream.worker.processing import Bury, Count, Processor, StagedProcessor
from stream.worker.restore import RestoreNames, Restorer
from stream.worker.retry import Retrier

T = TypeVar("T")

BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a fake worker works.

    Attributes:
        batch_records_max: of one transaction.
        restore_records_max: of one step of restore, and partition.
        text_bytes_max: a longer text is rejected.
        retry_attempts_max: how often a failing stage is tried.
        batch_deadline_s: how long the retries of one batch may take.
        rejected_in_a_row_max: 0 is no limit.
        unwritten_max: records that restore holds before it writes them.
        counting_s_max: how long a batch is counted within a transaction.
        plan: which stages fail on purpose.
    """

    batch_records_max: int = 100
    restore_records_max: int = 100
    text_bytes_max: int = 1000
    retry_attempts_max: int = 3
    batch_deadline_s: float = 30.0
    rejected_in_a_row_max: int = 0
    unwritten_max: int = 100
    counting_s_max: float = 30.0
    plan: FaultPlan | None = None


class FakeProcess:
    """A worker process.

    Attributes:
        instance: its stable name, and so its transactional id.
        observer: what its worker told.
        worker: the real one.
    """

    def __init__(  # noqa: PLR0913 - what a process is given
        self,
        cluster: FakeCluster,
        names: Names,
        index: AnagramIndex,
        *,
        instance: str = "worker-0",
        disks: dict[int, MemoryDisk] | None = None,
        faults: Faults | None = None,
        tuning: Tuning | None = None,
        disturb: Callable[[InputRecord], None] = lambda _: None,
        rng: random.Random | None = None,
    ) -> None:
        """`disturb` is called before each record is counted, and may raise StageFailed."""
        tuning, clock = tuning or Tuning(), cluster.clock
        rng = rng or random.Random(0)  # noqa: S311 - jitter, the same each time
        self.instance = instance
        self.faults = faults or Faults()
        self.observer = FakeObserver()
        self.stores = FakeStores(disks, self.faults)
        self.source = FakeSource(
            cluster, names.input, names.group, self.faults, records_max=tuning.batch_records_max
        )
        self.sink = FakeSink(cluster, names, f"{names.group}-{instance}", self.faults)
        self.reader = FakeReader(cluster, names.counts, self.faults, records_max=tuning.restore_records_max)
        engine = Engine(make_lexicon(index))
        count = counting(names, engine, tuning.text_bytes_max)
        bury = burying(names, clock.now)
        self.restorer = Restorer(
            self.source,
            self.sink,
            self.reader,
            self.stores,
            clock,
            self.observer,
            _restore_names(names, index, tuning),
        )
        self.worker = Worker(
            self.source,
            self.sink,
            self.reader,
            self._processor(count, bury, disturb, clock, tuning, rng),
            self.restorer,
            clock,
            self.observer,
            Limits(tuning.rejected_in_a_row_max, tuning.counting_s_max, index.digest, engine.signatures),
            Inline(),
        )
        self._group = cluster.group(names.group, names.input)
        self._has_joined = False

    def _processor(  # noqa: PLR0913, PLR0917 - what a processor is made of
        self,
        count: Count,
        bury: Bury,
        disturb: Callable[[InputRecord], None],
        clock: Clock,
        tuning: Tuning,
        rng: random.Random,
    ) -> Processor:
        attempts_max, deadline_s = tuning.retry_attempts_max, tuning.batch_deadline_s
        if tuning.plan is None:
            retrier = Retrier(clock, self.observer, attempts_max, rng)
            return StagedProcessor(count, bury, disturb, retrier, clock, deadline_s)
        waits = SharedWaits(clock)
        retrier = Retrier(waits, self.observer, attempts_max, rng)
        faults = StageFaults(tuning.plan)

        def tokens(record: InputRecord) -> list[str]:
            return words(decode_blob(record, "text", tuning.text_bytes_max).text)

        return FaultInjectingProcessor(count, bury, retrier, waits, deadline_s, faults, tokens, step=disturb)

    def turn(self) -> None:
        """Do what `Worker.run` does, one turn a call: get a producer, join the group, work."""
        if not self._has_joined and self.sink.is_ready:
            self.source.subscribe(self.worker.assignment)
            self._has_joined = True
        self.worker.turn()

    def is_settled(self) -> bool:
        """Whether it is a member of the group, has its share of the partitions, and they all run."""
        return (
            self.source.member is not None
            and self._group.has(self.source.member)
            and self.source.assigned == self._group.target(self.source.member)
            and self.worker.assignment.settled()
        )

    def pause(self) -> None:
        """Stop as SIGSTOP does: no heartbeats."""
        self._beat(beating=False)

    def resume(self) -> None:
        """Go on; if the group has given us up, the next `gather` says so."""
        self._beat(beating=True)

    def crash(self) -> None:
        """Die as kill -9 does: heartbeats end, locks go, an open transaction and the membership stay."""
        self._beat(beating=False)
        self.stores.crash()

    def _beat(self, *, beating: bool) -> None:
        if self.source.member is not None:
            self._group.beat(self.source.member, beating=beating)


def _restore_names(names: Names, index: AnagramIndex, tuning: Tuning) -> RestoreNames:
    reset = "reset partition {partition}"
    return RestoreNames(names.input, names.counts, index.digest, reset, unwritten_max=tuning.unwritten_max)


class Inline:
    """Does what is to be done aside at once: it shares nothing with what goes on beside it."""

    def submit(self, work: Callable[[], T], /) -> Joined[T]:
        """Do it."""
        done: Future[T] = Future()
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - a crash is one, and is raised where it is joined
            done.set_exception(error)
        return done


def counting(names: Names, engine: Engine, text_bytes_max: int) -> Count:
    """Return what the worker does with records: decode, count, encode."""
    encoder = ResultEncoder(names.results, BYTES_MAX, BYTES_MAX)
    return BlobCounter(engine, encoder, "text", text_bytes_max).count


def burying(names: Names, now: Callable[[], float]) -> Bury:
    """Return what the worker does with a rejected record: a dead letter."""

    def bury(record: InputRecord, why: Rejected) -> OutputRecord:
        return to_dead_letter(
            record,
            why,
            topic=names.dead_letters,
            group=names.group,
            failed_at=str(now()),
            bytes_max=BYTES_MAX,
        )

    return bury
