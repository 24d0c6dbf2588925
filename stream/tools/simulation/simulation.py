"""Seeded simulation: real workers on the fake cluster, first with many faults, then without, then the audit.

Everything is drawn from one seed and runs in one thread, so a seed reproduces a run completely.
"""

import random
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from stream.testing.cluster import FakeCluster
from stream.testing.faults import FaultClass
from stream.testing.log import Record
from stream.testing.names import Names
from stream.testing.pipeline import FakePipeline
from stream.testing.process import Tuning
from stream.tools.simulation.accidents import Accident, Accidents
from stream.tools.simulation.anagram_workload import AnagramWorkload
from stream.tools.simulation.auditor import Auditor, Violation
from stream.tools.simulation.fleet import Fleet, Hooks, Weather
from stream.tools.simulation.workload import MakeWorkload

SESSION_TIMEOUT_S = 3.0
TRANSACTION_TIMEOUT_S = 1.0
MARKER_DELAY_S_MAX = 5.0
TRACE_LINES_MAX = 60
CLASSIC = 0.3  # share of the seeds with the stricter group protocol
ROUNDS_MAX = 3000  # passes without faults, after which all input must be committed
RESTARTED = 0.3  # share of the dead processes, per step
ACCIDENT = 0.4  # share of the seeds with an accident
REFUSALS_MIN = 12  # without other faults; then the refusal of the accident counts as final
COMPACTED, ROLLED, TRIMMED, READ, STOPPED = 0.03, 0.02, 0.03, 0.1, 0.02  # shares of the steps


@dataclass(frozen=True, slots=True)
class Scale:
    """The size of a simulation.

    Attributes:
        records: number of input records.
        steps: number of steps with faults (the storm).
        fault_rate: share of the calls with a fault.
        weights: weights of the fault classes.
        marker_delayed: share of the transaction markers that are delayed; None if drawn.
        accident: what happens once to offsets, logs or topics.
    """

    records: int = 120
    steps: int = 100
    fault_rate: float = 0.05
    weights: Mapping[FaultClass, float] = field(
        default_factory=lambda: {
            FaultClass.ERROR: 4,
            FaultClass.CRASH: 1,
            FaultClass.PAUSE: 2,
            FaultClass.SWITCH: 3,
            FaultClass.REBALANCE: 1,
            FaultClass.LATE: 1,
        }
    )
    marker_delayed: float | None = None
    accident: Accident | None = None

    @classmethod
    def drawn(cls, seed: int) -> Self:
        """Draw a size: some rare faults need a small simulation, others a large one."""
        rng = random.Random(-1 - seed)  # noqa: S311 - must be repeatable, not secret
        weights = {kind: weight * rng.choice((0.3, 1, 1, 3)) for kind, weight in cls().weights.items()}
        return cls(
            records=rng.randint(10, 200),
            steps=rng.randint(20, 200),
            fault_rate=rng.choice((0.01, 0.03, 0.05, 0.1)),
            weights=weights,
            marker_delayed=rng.choice((None, None, 0.8)),
            accident=rng.choice(list(Accident)) if rng.random() < ACCIDENT else None,
        )


class Simulation:
    """One simulation.

    Attributes:
        score: number of each event: fault classes, calls, events of the workers.
        trace: the last events.
    """

    def __init__(
        self,
        seed: int,
        scale: Scale | None = None,
        *,
        make_workload: MakeWorkload = AnagramWorkload,
        trace_lines: int | None = TRACE_LINES_MAX,
    ) -> None:
        """`trace_lines` limits the trace; None keeps all."""
        self.score: Counter[str] = Counter()
        self.trace: deque[str] = deque(maxlen=trace_lines)
        self._scale = scale = scale or Scale()
        self._rng = rng = random.Random(seed)  # noqa: S311 - must be repeatable, not secret
        cluster = FakeCluster(
            session_timeout_s=SESSION_TIMEOUT_S,
            transaction_timeout_s=TRANSACTION_TIMEOUT_S,
            classic=rng.random() < CLASSIC,
        )
        self._began = cluster.clock.monotonic()
        partitions = rng.randint(1, 4)
        names = Names()
        self._workload = make_workload(rng, names)
        pipeline = FakePipeline(
            partitions,
            cluster=cluster,
            names=names,
            fold=self._workload.fold,
            dead_letter_partitions=rng.randint(1, partitions),
        )
        tuning = Tuning(
            batch_records_max=rng.randint(1, 8),
            restore_records_max=rng.randint(1, 6),
            unwritten_records_max=rng.choice((1, 5, 20, 1000)),
            batch_deadline_s=rng.choice((0.02, 0.2, 5.0)),
            processing_s_max=rng.choice((0.0, 0.02, 5.0)),
            chunk_records=rng.choice((1, 2, 3, 8)),
        )
        delayed = rng.choice((0.0, 0.3, 0.6))
        self._marker_delayed = delayed if scale.marker_delayed is None else scale.marker_delayed
        cluster.coordinator.delay_s = self._marker_delay_s
        self._pipeline = pipeline
        self._auditor = Auditor(cluster, pipeline.names, self._workload)
        weather = Weather(scale.fault_rate, scale.weights, 2 * SESSION_TIMEOUT_S)
        around = Hooks(self._submit, self._workload.disturb, self._trace_event, self.score)
        self._fleet = Fleet(pipeline, tuning, rng.randint(1, 3), weather, around, rng)
        self._submitted = 0
        self._accidents = (
            Accidents(scale.accident, pipeline, self._auditor, self._submit, rng) if scale.accident else None
        )
        self._accident_step = rng.randrange(scale.steps) if scale.accident else 0

    @property
    def seconds(self) -> float:
        """The simulated time so far."""
        return self._pipeline.cluster.clock.monotonic() - self._began

    def run(self) -> None:
        """Run with faults, drain without them, and audit.

        Raises:
            Violation: a promise was broken.
        """
        try:
            self._storm()
            if self._drain():
                self._auditor.judge(self._fleet.stores())
            else:
                self.score["refused"] += 1
                happened = self._accidents.happened if self._accidents else None
                changed = {Accident.INPUT_TRUNCATED, Accident.INPUT_RECREATED}
                self._auditor.judge_refusal(inputs_are_unique=happened not in changed)
        except BaseException as error:
            error.add_note("\n".join(("The last events:", *self.trace)))
            raise

    def _storm(self) -> None:
        steps = 0
        while steps < self._scale.steps or self._submitted < self._scale.records:
            steps += 1
            self._submit()
            self._around()
            self._suffer(steps)
            self._fleet.restart_dead(RESTARTED)
            self._fleet.step_another()

    def _suffer(self, steps: int) -> None:
        """Cause the accident of this seed, once."""
        accidents = self._accidents
        if accidents is None or accidents.happened:
            return
        accidents.watch()
        if steps >= self._accident_step and (happened := accidents.happen()) is not None:
            self._fleet.may_refuse = True
            self.score[happened] += 1
            self._trace_event("all", f"accident: {happened}")

    def _drain(self) -> bool:
        """Run without faults until all input is committed; return False if workers refuse for good."""
        self._trace_event("all", "calm")
        self._fleet.calm()
        self._marker_delayed = 0.0
        if self._fleet.may_refuse:
            self._fleet.restart_all()
        self._fleet.refusals = 0
        pipeline, was_settled = self._pipeline, False
        for _ in range(ROUNDS_MAX):
            self._fleet.restart_dead(1.0)
            self._fleet.step_all()
            is_settled = (
                self._positions() == pipeline.ends()
                and pipeline.cluster.is_settled()
                and self._fleet.is_settled()
            )
            if is_settled and was_settled:  # a resumed partition learns at its next poll whether it may run
                return True
            was_settled = is_settled
            if self._fleet.refusals >= REFUSALS_MIN:
                return False
        raise Violation(f"not drained: committed {pipeline.committed()} of {pipeline.ends()}")

    def _positions(self) -> list[int]:
        """Return the next offset of each input partition; retention may have deleted all that it held."""
        cluster, topic = self._pipeline.cluster, self._pipeline.names.input
        first = [cluster.log(topic, partition).first_offset for partition in range(self._pipeline.partitions)]
        return list(map(max, self._pipeline.committed(), first))

    def _submit(self) -> None:
        cluster, topic = self._pipeline.cluster, self._pipeline.names.input
        remaining = self._scale.records - self._submitted
        for _ in range(min(remaining, self._rng.choice((0, 0, 1, 2, 3)))):
            record, partition = self._workload.draw(), self._rng.randrange(self._pipeline.partitions)
            offset = cluster.produce(topic, partition, record.value, record.key, record.headers)
            self._auditor.submitted(partition, offset, Record(record.key, record.value, record.headers))
            self._submitted += 1

    def _around(self) -> None:
        """Draw an event: compaction, retention, a reader, a worker that stops."""
        pipeline, partition = self._pipeline, self._rng.randrange(self._pipeline.partitions)
        kinds = (COMPACTED, ROLLED, TRIMMED, READ, STOPPED)
        kind = self._rng.choices((*range(len(kinds)), None), (*kinds, 1 - sum(kinds)))[0]
        if kind in {0, 1}:
            self._auditor.read_along()
            pipeline.cluster.log(pipeline.names.counts, partition).compact(rolled=kind == 1)
        elif kind == 2:  # noqa: PLR2004
            log = pipeline.cluster.log(pipeline.names.input, partition)
            committed = pipeline.group.unstable([partition])[partition]
            if committed is not None and committed.evidence:  # another client may commit what is not counted
                log.trim(min(log.high_watermark, max(log.first_offset, committed.offset)))
        elif kind == 3:  # noqa: PLR2004
            self._auditor.read_along()
        elif kind == 4:  # noqa: PLR2004
            self._fleet.stop_one()

    def _marker_delay_s(self) -> float:
        delayed = self._rng.random() < self._marker_delayed
        return self._rng.uniform(0.0, MARKER_DELAY_S_MAX) if delayed else 0.0

    def _trace_event(self, who: str, what: str) -> None:
        now = self._pipeline.cluster.clock.monotonic()
        self.trace.append(f"{now:9.2f} {'  ' * self._fleet.depth}{who}: {what}")
