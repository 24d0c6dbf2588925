"""How each fault is done."""

from collections.abc import Callable
from typing import Protocol

from stream.tools.chaos.cluster import Cluster
from stream.tools.chaos.fleet import Fleet, WorkerProcess
from stream.tools.chaos.plan import Fault, Kind
from stream.tools.chaos.proxy import Delay, Disconnect, Error, Rule, When

WIRE_S = 1.5  # how long requests meet faults with a probability
DELAY_S = 0.7
STEP_S_MAX = 5.0  # until the request comes that a kill waits for
STEP_HELD_S = 5.0
START_S_MAX = 10.0  # until a worker that was killed has asked for its producer id
FULL_S_MAX = 20.0  # until a full disk is met
CHANCE_SEED = 1


class Passing(Protocol):
    """Lets the campaign go on meanwhile."""

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Go on until the condition holds; return whether it does."""


class Injector:
    """Does faults to a cluster and its workers."""

    def __init__(self, cluster: Cluster, fleet: Fleet, passing: Passing, session_s: float) -> None:
        self._cluster = cluster
        self._fleet = fleet
        self._until = passing.until
        self._session_s = session_s
        self._guests: list[WorkerProcess] = []
        self._does: dict[Kind, Callable[[Fault, WorkerProcess], object]] = {
            Kind.KILL: lambda _, worker: worker.kill(),
            Kind.KILL_PROCESS: lambda fault, worker: worker.kill_process(self._place(fault)),
            Kind.KILL_AT_STEP: self._kill_at_step,
            Kind.WIPE: lambda _, worker: worker.kill_and_wipe(),
            Kind.PAUSE: self._pause,
            Kind.ZOMBIE: self._zombie,
            Kind.TERM: lambda _, worker: worker.stop(),
            Kind.JOIN: self._join,
            Kind.DISK_FULL: self._fill_disk,
            Kind.BROKER_KILL: lambda _fault, _worker: cluster.kill(),
            Kind.BROKER_STOP: lambda _fault, _worker: cluster.restart(),
            Kind.WIRE_ERROR: self._wire,
            Kind.WIRE_CUT: self._wire,
            Kind.WIRE_DELAY: self._wire,
        }

    def inject(self, fault: Fault) -> bool:
        """Do it; a worker that ends of it is started again by the fleet. Return whether it befell anybody."""
        workers = self._fleet.workers
        return self._does[fault.kind](fault, workers[fault.worker % len(workers)]) is not False

    def finish(self) -> None:
        """Let nothing of any fault go on."""
        for guest in self._guests:
            guest.resume()
            guest.kill()
        self._guests.clear()

    def _place(self, fault: Fault) -> int:
        """Return which of its worker's processes a fault is for."""
        return fault.worker // len(self._fleet.workers)

    def _wait(self, seconds: float) -> None:
        self._until(lambda: False, seconds)

    def _pause(self, fault: Fault, worker: WorkerProcess) -> None:
        worker.pause()
        self._wait(self._session_s + fault.seconds)
        worker.resume()

    def _zombie(self, fault: Fault, worker: WorkerProcess) -> None:
        """Its supervisor takes it for dead: a successor of the same id starts, then it wakes."""
        worker.pause()
        place = self._fleet.workers.index(worker)
        successor = self._fleet.workers[place] = self._fleet.make(worker.instance)
        successor.start()
        try:
            self._wait(fault.seconds + 1.0)
        finally:
            worker.resume()  # the fleet knows it no more
        self._until(lambda: not worker.is_running, self._session_s + fault.seconds)
        if worker.status is not None:
            self._fleet.notes.exits[worker.status] += 1
        worker.kill()

    def _join(self, fault: Fault, _: WorkerProcess) -> None:
        guest = self._fleet.make(f"guest-{fault.worker}")
        self._guests.append(guest)
        guest.start()
        self._wait(2.0 + fault.seconds)
        if fault.worker % 2:
            guest.kill()
            guest.start()  # else its transaction is open until its timeout
            self._wait(2.0)
        guest.stop()

    def _fill_disk(self, _: Fault, worker: WorkerProcess) -> None:
        started = worker.started
        worker.fill_disk()
        self._until(lambda: not worker.is_running or worker.started != started, FULL_S_MAX)
        if worker.is_running and worker.started == started:  # it had nothing to write
            worker.kill()

    def _kill_at_step(self, fault: Fault, worker: WorkerProcess) -> bool:
        """Hold the request, or its answer, and kill who sent it; false: the request did not come."""
        assert fault.api is not None
        delay = Delay(STEP_HELD_S, after=fault.after)
        client = worker.client(self._place(fault))
        held = self._cluster.proxy.add(Rule(fault.api, delay, When.once(), client=client))
        self._until(lambda: held.injected > 0 or not worker.is_running, STEP_S_MAX)
        killed = worker.kill_process(self._place(fault))
        self._cluster.proxy.remove(held)
        return killed and held.injected > 0

    def _wire(self, fault: Fault, worker: WorkerProcess) -> bool:
        assert fault.api is not None
        action: Error | Disconnect | Delay = Error(fault.code)
        if fault.kind is Kind.WIRE_CUT:
            action = Disconnect(after=fault.after)
        elif fault.kind is Kind.WIRE_DELAY:
            action = Delay(DELAY_S, after=fault.after)
        often = When.probability(fault.chance, CHANCE_SEED) if fault.chance else When.on_call(fault.nth)
        rule = self._cluster.proxy.add(Rule(fault.api, action, often))
        self._until(lambda: not fault.chance and rule.injected > 0, WIRE_S if fault.chance else STEP_S_MAX)
        if not rule.injected and fault.api.name == "INIT_PRODUCER_ID":
            worker.kill()  # only a start asks for a producer id
            self._until(lambda: rule.injected > 0, START_S_MAX)
        self._cluster.proxy.remove(rule)
        return rule.injected > 0
