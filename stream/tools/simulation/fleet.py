"""Starts, crashes, pauses, duplicates and stops the worker processes of a simulation."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from stream.core.records import InputRecord
from stream.errors import Fatal, Fenced
from stream.ports import Store
from stream.store.memory import MemoryDisk
from stream.testing.faults import Crashed, DiskFull, FaultClass, Moment, SeededFaults
from stream.testing.pipeline import FakePipeline
from stream.testing.process import FakeProcess, Tuning
from stream.tools.simulation.auditor import Violation

DEPTH_MAX = 4  # processes inside a call at the same time
STEPS_SWITCHED_MAX = 4
STEPS_PAUSED_MAX = 12
DISK_LOST = 0.4  # share of the restarts
DOUBLED = 0.2  # share of the pauses during which another process takes over the instance
KILLED_WHILE_PAUSED = 0.2


@dataclass(slots=True)
class Weather:
    """The faults that the processes are exposed to.

    Attributes:
        rate: share of the calls with a fault; 0 for none.
        weights: weights of the fault classes.
        pause_s_max: maximum pause of a process.
    """

    rate: float
    weights: Mapping[FaultClass, float]
    pause_s_max: float


@dataclass(slots=True)
class Hooks:
    """The callbacks of the simulation.

    Attributes:
        meanwhile: called while a process is paused.
        disturb: called before each record is processed.
        trace: called with an instance and an event.
        score: number of each event.
    """

    meanwhile: Callable[[], None]
    disturb: Callable[[InputRecord], None]
    trace: Callable[[str, str], None]
    score: Counter[str] = field(default_factory=Counter)


class Fleet:
    """The processes. At most one runs at any time; the others are inside a call, or waiting.

    The fault hook of a call steps the other processes, so that everything that others may do while a process
    is slow, paused or dead happens in the middle of its call.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what the processes share
        self,
        pipeline: FakePipeline,
        tuning: Tuning,
        instances: int,
        weather: Weather,
        hooks: Hooks,
        rng: random.Random,
    ) -> None:
        self._pipeline = pipeline
        self._tuning = tuning
        self._instances = [f"worker-{number}" for number in range(instances)]
        self._weather = weather
        self._hooks = hooks
        self._rng = rng
        self._disks: dict[str, dict[int, MemoryDisk]] = {name: {} for name in self._instances}
        self._doubled: set[str] = set()
        self._living: list[FakeProcess] = []
        self._inside: list[FakeProcess] = []  # innermost last
        self.may_refuse = False  # after an accident
        self.refusals = 0

    @property
    def depth(self) -> int:
        """Number of processes inside a call."""
        return len(self._inside)

    def restart_dead(self, share: float) -> None:
        """Start a process for `share` of the instances that have none."""
        for instance in self._instances:
            if self._rng.random() < share and all(p.instance != instance for p in self._living):
                self._start(instance, disk_lost=self._rng.random() < DISK_LOST)

    def step_another(self) -> None:
        """Run one pass of a process that is not inside a call."""
        others = [process for process in self._living if process not in self._inside]
        if others and self.depth < DEPTH_MAX:
            process = self._rng.choice(others)
            self._within(process, process.run_once)

    def step_all(self) -> None:
        """Run one pass of every process."""
        for process in list(self._living):
            self._within(process, process.run_once)

    def stop_one(self) -> None:
        """Ask one process to stop."""
        if self._living:
            process = self._rng.choice(self._living)
            self._trace(process.instance, "asked to stop")
            self._within(process, partial(self._stop, process))

    def restart_all(self) -> None:
        """Stop every process that is not inside a call, so that each starts again."""
        for process in [process for process in self._living if process not in self._inside]:
            self._within(process, partial(self._stop, process))

    def calm(self) -> None:
        """Stop injecting faults."""
        self._weather.rate = 0.0

    def is_settled(self) -> bool:
        """Whether every partition runs on one process."""
        running = sorted(number for process in self._living for number in process.assignment.running())
        is_settled = all(process.is_settled() for process in self._living)
        return is_settled and running == list(range(self._pipeline.partitions))

    def stores(self) -> dict[int, Store]:
        """Return the stores of the running partitions."""
        running = [process.assignment.running() for process in self._living]
        return {number: store for stores in running for number, store in stores.items()}

    def _start(self, instance: str, *, disk_lost: bool) -> None:
        if disk_lost:
            self._disks[instance] = {}
        self._trace(instance, "started, disk lost" if disk_lost else "started")
        process = FakeProcess(
            self._pipeline.cluster,
            self._pipeline.names,
            self._pipeline.fold,
            instance=instance,
            disks=self._disks[instance],
            faults=SeededFaults(
                self._rng,
                lambda: self._weather.rate,
                self._weather.weights,
                lambda kind: self._surround(process, kind),
                lambda call, moment, what: self._record(instance, call, moment, what),
            ),
            tuning=self._tuning,
            disturb=self._hooks.disturb,
            rng=self._rng,
        )
        self._living.append(process)

    def _within(self, process: FakeProcess, action: Callable[[], None]) -> None:
        """Run an action of a process, which may crash."""
        self._inside.append(process)
        try:
            self._survive(process, action)
        except Crashed as where:
            process.crash()
            self._remove(process, f"crashed: {where}")
        finally:
            self._inside.pop()

    def _survive(self, process: FakeProcess, action: Callable[[], None]) -> None:
        try:
            action()
        except Fatal as why:
            if isinstance(why, DiskFull):
                pass
            elif self.may_refuse and not isinstance(why, Fenced):
                self.refusals += 1
            elif not (isinstance(why, Fenced) and process.instance in self._doubled):
                raise Violation(f"a worker exited: {type(why).__name__}: {why}") from why
            self._hooks.score[type(why).__name__] += 1
            process.worker.close()
            self._remove(process, f"exited: {why}")

    def _stop(self, process: FakeProcess) -> None:
        process.worker.close()
        self._remove(process, "stopped")

    def _remove(self, process: FakeProcess, why: str) -> None:
        self._trace(process.instance, why)
        self._hooks.score.update(process.observer.names())
        self._living.remove(process)

    def _surround(self, process: FakeProcess, kind: FaultClass) -> None:
        """Carry out a fault from outside the process, while it is inside a call."""
        if kind is FaultClass.REBALANCE:
            self._pipeline.group.rebalance()
        elif kind is FaultClass.SWITCH:
            for _ in range(self._rng.randint(1, STEPS_SWITCHED_MAX)):
                self.step_another()
        elif kind is FaultClass.PAUSE:
            self._pause(process)

    def _pause(self, process: FakeProcess) -> None:
        process.pause()
        self._pipeline.cluster.clock.advance(self._rng.uniform(0.0, self._weather.pause_s_max))
        self._pipeline.cluster.settle()
        if self._rng.random() < DOUBLED and len(self._living) <= len(self._instances):
            self._doubled.add(process.instance)
            self._start(process.instance, disk_lost=True)
        for _ in range(self._rng.randint(0, STEPS_PAUSED_MAX)):
            self._hooks.meanwhile()
            self.step_another()
        process.resume()
        self._trace(process.instance, "continues")
        if self._rng.random() < KILLED_WHILE_PAUSED:
            raise Crashed("while it was paused")

    def _record(self, instance: str, call: str, moment: Moment, what: str) -> None:
        self._hooks.score[what] += 1
        self._hooks.score[f"{moment} {call}"] += 1
        self._trace(instance, f"{what} {moment} {call}")

    def _trace(self, who: str, what: str) -> None:
        self._hooks.trace(who, what)
