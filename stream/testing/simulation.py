"""Seeded simulation: real workers on the fake cluster in a storm of faults, then calm, then judgement.

Everything is drawn from one seed and runs in one thread, so that a seed is a complete replay. Others
run while a worker is inside a call, stopped or simply slow: the fault hook of the call steps them.
"""

import random
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from stream.core.dictionary import build_index
from stream.errors import Fatal, Fenced
from stream.ports import Store
from stream.store.memory import MemoryDisk
from stream.testing.audit import Auditor, Violation
from stream.testing.cluster import FakeCluster
from stream.testing.faults import Crashed, DiskFull, FaultClass, Moment, SeededFaults
from stream.testing.log import Record
from stream.testing.names import Names
from stream.testing.process import FakeProcess, Tuning
from stream.testing.workload import WORDS, Workload

SESSION_TIMEOUT_S = 3.0
TRANSACTION_TIMEOUT_S = 1.0
MARKER_DELAY_S_MAX = 5.0
DEPTH_MAX = 4  # workers that are inside a call at the same time
TRACE_LINES_MAX = 60
DRAIN_ROUNDS_MAX = 3000
INDEX = build_index(WORDS)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much happens.

    Attributes:
        blobs: input records.
        turns: of the storm, at the top level.
        fault_rate: of the calls.
        weights: of the fault classes.
        marker_delayed: of the transaction markers; None: drawn.
    """

    blobs: int = 150
    turns: int = 150
    fault_rate: float = 0.05
    weights: Mapping[FaultClass, float] = field(
        default_factory=lambda: {
            FaultClass.ERROR: 5,
            FaultClass.CRASH: 1,
            FaultClass.PAUSE: 1,
            FaultClass.SWITCH: 3,
            FaultClass.REBALANCE: 1,
        }
    )
    marker_delayed: float | None = None


class Simulation:
    """One run.

    Attributes:
        score: what happened how often: fault classes, calls, transactions.
    """

    def __init__(self, seed: int, scale: Scale | None = None) -> None:
        self.score: Counter[str] = Counter()
        self._rng = random.Random(seed)  # noqa: S311 - to be replayed, not to be secret
        self._scale = scale or Scale()
        self._rate = self._scale.fault_rate
        self._trace: deque[str] = deque(maxlen=TRACE_LINES_MAX)
        self._names = Names()
        self._tuning = Tuning(
            batch_records_max=self._rng.randint(1, 8),
            restore_records_max=self._rng.randint(1, 6),
            text_bytes_max=100,
            batch_deadline_s=self._rng.choice((0.02, 0.2, 5.0)),
        )
        self._cluster = FakeCluster(
            session_timeout_s=SESSION_TIMEOUT_S, transaction_timeout_s=TRANSACTION_TIMEOUT_S
        )
        delayed = self._scale.marker_delayed
        self._marker_delayed = self._rng.choice((0.0, 0.3, 0.6)) if delayed is None else delayed
        self._partitions = self._rng.randint(1, 4)
        for topic in (self._names.input, self._names.results, self._names.counts):
            self._cluster.create(topic, self._partitions)
        self._cluster.create(self._names.dead_letters, self._rng.randint(1, self._partitions))
        self._cluster.coordinator.delay_s = self._marker_delay_s
        self._group = self._cluster.group(self._names.group, self._names.input)
        self._workload = Workload(self._rng, INDEX, self._tuning.text_bytes_max)
        self._auditor = Auditor(self._cluster, self._names, self._workload)
        self._instances = [f"worker-{n}" for n in range(self._rng.randint(1, 3))]
        self._disks: dict[str, dict[int, MemoryDisk]] = {name: {} for name in self._instances}
        self._twinned: set[str] = set()
        self._living: list[FakeProcess] = []
        self._inside: list[FakeProcess] = []  # those within a call, innermost last
        self._submitted = 0

    def run(self) -> None:
        """Storm, drain, judge.

        Raises:
            Violation: a promise was broken.
        """
        try:
            self._storm()
            self._drain()
            self._auditor.judge(self._stores())
        except Exception as error:
            error.add_note("\n".join(("the last that happened:", *self._trace)))
            raise

    # -- storm and calm --------------------------------------------------------------------------------

    def _storm(self) -> None:
        turn = 0
        while turn < self._scale.turns or self._submitted < self._scale.blobs:
            turn += 1
            self._submit()
            self._around()
            for instance in self._instances:
                if self._rng.random() < 0.3 and not self._is_living(instance):  # noqa: PLR2004
                    self._start(instance)
            self._step_another()

    def _drain(self) -> None:
        self._say("-", "calm")
        self._rate = 0.0
        for process in self._living:
            assert isinstance(process.faults, SeededFaults)
            process.faults.rate = 0.0
        for _ in range(DRAIN_ROUNDS_MAX):
            for instance in self._instances:
                if not self._is_living(instance):
                    self._start(instance)
            for process in list(self._living):
                self._within(process, process.turn)
            if self._is_drained():
                return
        raise Violation(f"not drained: {self._committed()} of {self._ends()}")

    def _is_drained(self) -> bool:
        owned = [p for process in self._living for p in process.worker.assignment.running()]
        return (
            self._committed() == self._ends()
            and self._cluster.coordinator.is_settled()
            and all(process.is_settled() for process in self._living)
            and sorted(owned) == list(range(self._partitions))
        )

    def _stores(self) -> dict[int, Store]:
        return {
            number: store
            for process in self._living
            for number, store in process.worker.assignment.running().items()
        }

    def _committed(self) -> list[int]:
        found = self._group.unstable(range(self._partitions))
        return [0 if at is None else at.offset for at in found.values()]

    def _ends(self) -> list[int]:
        return [self._cluster.log(self._names.input, p).high_watermark for p in range(self._partitions)]

    # -- what goes on around the workers ---------------------------------------------------------------

    def _submit(self) -> None:
        left = self._scale.blobs - self._submitted
        for _ in range(min(left, self._rng.choice((0, 0, 1, 2, 3)))):
            blob, partition = self._workload.blob(), self._rng.randrange(self._partitions)
            offset = self._cluster.produce(self._names.input, partition, blob.value, blob.key, blob.headers)
            self._auditor.submitted(partition, offset, Record(blob.key, blob.value, blob.headers))
            self._submitted += 1

    def _around(self) -> None:
        """Retention, compaction, a reader, a worker that is asked to stop."""
        drawn, partition = self._rng.random(), self._rng.randrange(self._partitions)
        if drawn < 0.05:  # noqa: PLR2004 - shares of the whole
            self._auditor.read_along()
            self._cluster.log(self._names.counts, partition).compact(rolled=drawn < 0.02)  # noqa: PLR2004
        elif drawn < 0.08:  # noqa: PLR2004
            log = self._cluster.log(self._names.input, partition)
            log.trim(max(log.first_offset, self._committed()[partition]))
        elif drawn < 0.2:  # noqa: PLR2004
            self._auditor.read_along()
        elif drawn < 0.22 and self._living:  # noqa: PLR2004
            process = self._rng.choice(self._living)
            self._say(process.instance, "asked to stop")
            self._within(process, partial(self._stop, process))

    def _marker_delay_s(self) -> float:
        if not self._rate or self._rng.random() >= self._marker_delayed:
            return 0.0
        return self._rng.uniform(0.0, MARKER_DELAY_S_MAX)

    # -- processes -------------------------------------------------------------------------------------

    def _is_living(self, instance: str) -> bool:
        return any(process.instance == instance for process in self._living)

    def _start(self, instance: str, *, twin: bool = False) -> None:
        if twin or self._rng.random() < 0.4:  # noqa: PLR2004
            self._disks[instance] = {}
            self._say(instance, "disk lost")
        if twin:
            self._twinned.add(instance)
        self._say(instance, "started")
        faults = SeededFaults(
            self._rng,
            self._rate,
            self._scale.weights,
            lambda kind: self._surround(process, kind),
            lambda call, moment, what: self._tell(instance, call, moment, what),
        )
        process = FakeProcess(
            self._cluster,
            self._names,
            INDEX,
            instance=instance,
            disks=self._disks[instance],
            faults=faults,
            tuning=self._tuning,
            disturb=self._workload.disturb,
            rng=self._rng,
        )
        self._living.append(process)

    def _stop(self, process: FakeProcess) -> None:
        process.worker.close()
        self._bury(process, "stopped")

    def _bury(self, process: FakeProcess, why: str) -> None:
        if process in self._living:
            self._say(process.instance, why)
            self.score.update(event for event, _ in process.observer.events)
            self._living.remove(process)

    def _within(self, process: FakeProcess, action: Callable[[], None]) -> None:
        """Let a process act; it may die of it."""
        self._inside.append(process)
        try:
            try:
                action()
            except Fatal as why:
                if not isinstance(why, DiskFull):
                    _expect(why, fenced=process.instance in self._twinned)
                process.worker.close()
                self._bury(process, f"ended: {why}")
        except Crashed as call:
            process.crash()
            self._bury(process, f"crashed at {call}")
        finally:
            self._inside.pop()

    def _step_another(self) -> None:
        others = [process for process in self._living if process not in self._inside]
        if others and len(self._inside) < DEPTH_MAX:
            process = self._rng.choice(others)
            self._within(process, process.turn)

    def _surround(self, process: FakeProcess, kind: FaultClass) -> None:
        """Do what befalls a process from outside, while it is inside a call."""
        if kind is FaultClass.REBALANCE:
            self._group.rebalance()
        elif kind is FaultClass.SWITCH:
            for _ in range(self._rng.randint(1, 4)):
                self._step_another()
        elif kind is FaultClass.PAUSE:
            self._pause(process)

    def _pause(self, process: FakeProcess) -> None:
        process.pause()
        self._cluster.clock.advance(self._rng.uniform(0.0, 2 * SESSION_TIMEOUT_S))
        self._cluster.settle()
        if self._rng.random() < 0.2 and len(self._living) <= len(self._instances):  # noqa: PLR2004
            self._start(process.instance, twin=True)
        for _ in range(self._rng.randint(0, 12)):
            self._submit()
            self._step_another()
        process.resume()
        self._say(process.instance, "goes on")
        if self._rng.random() < 0.2:  # noqa: PLR2004
            raise Crashed("while it was stopped")

    # -- record ----------------------------------------------------------------------------------------

    def _tell(self, instance: str, call: str, moment: Moment, what: str) -> None:
        self.score[what] += 1
        self.score[f"{moment} {call}"] += 1
        self._say(instance, f"{what} {moment} {call}")

    def _say(self, who: str, what: str) -> None:
        self._trace.append(f"{self._cluster.clock.monotonic():9.2f} {'  ' * len(self._inside)}{who}: {what}")


def _expect(why: Fatal, *, fenced: bool) -> None:
    if not (fenced and isinstance(why, Fenced)):
        raise Violation(f"a worker ended: {type(why).__name__}: {why}") from why
