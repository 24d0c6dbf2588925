"""Injects each class of faults into a cluster and its workers."""

from collections.abc import Callable

from stream.tools.chaos.cluster import Cluster
from stream.tools.chaos.fleet import Fleet, FleetWorker
from stream.tools.chaos.node_injector import NodeInjector
from stream.tools.chaos.plan import CLUSTER, Fault, Kind
from stream.tools.chaos.proxy import Delay, Disconnect, Error, Rule, When
from stream.tools.chaos.waiter import Waiter

WIRE_S = 1.5  # duration of a fault with a probability
DELAY_S = 0.7
STEP_S_MAX = 5.0  # maximum wait for the request at which a worker is killed
STEP_HELD_S = 5.0
START_S_MAX = 10.0  # until a killed worker has requested its producer id again
FULL_S_MAX = 20.0  # until a worker with a full disk has exited
CHANCE_SEED = 1


class Injector:
    """Injects faults, one at a time."""

    def __init__(
        self, cluster: Cluster, nodes: NodeInjector, fleet: Fleet, waiter: Waiter, session_s: float
    ) -> None:
        self._cluster = cluster
        self._nodes = nodes
        self._fleet = fleet
        self._until = waiter.until
        self._session_s = session_s
        self._guests: list[FleetWorker] = []
        self._actions: dict[Kind, Callable[[Fault, FleetWorker], object]] = {
            Kind.KILL: lambda _, worker: worker.kill(),
            Kind.KILL_PROCESS: lambda fault, worker: worker.kill_process(self._process_number(fault)),
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
        """Inject a fault; return whether it took effect.

        The fleet starts a worker again that exits because of the fault.
        """
        workers = self._fleet.workers
        worker = workers[fault.worker % len(workers)]
        if fault.kind in CLUSTER:
            return self._nodes.inject(fault, worker.client(self._process_number(fault)))
        return self._actions[fault.kind](fault, worker) is not False

    def finish(self) -> None:
        """End the faults that are still active."""
        for guest in self._guests:
            guest.resume()
            guest.kill()
        self._guests.clear()

    def _process_number(self, fault: Fault) -> int:
        """Return which process of its worker a fault is for."""
        return fault.worker // len(self._fleet.workers)

    def _wait(self, seconds: float) -> None:
        self._until(lambda: False, seconds)

    def _pause(self, fault: Fault, worker: FleetWorker) -> None:
        worker.pause()
        self._wait(self._session_s + fault.seconds)
        worker.resume()

    def _zombie(self, fault: Fault, worker: FleetWorker) -> None:
        """Pause a worker, start a successor with the same id, as an operator would, and resume the worker."""
        worker.pause()
        position = self._fleet.workers.index(worker)
        successor = self._fleet.workers[position] = self._fleet.create(worker.instance)
        successor.start()
        try:
            self._wait(fault.seconds + 1.0)
        finally:
            worker.resume()  # the fleet no longer supervises it
        self._until(lambda: not worker.is_running, self._session_s + fault.seconds)
        self._fleet.record_exit(worker)
        worker.kill()

    def _join(self, fault: Fault, _: FleetWorker) -> None:
        guest = self._fleet.create(f"guest-{fault.worker}")
        self._guests.append(guest)
        guest.start()
        self._wait(2.0 + fault.seconds)
        if fault.worker % 2:
            guest.kill()
            guest.start()  # otherwise the transaction stays open until its timeout
            self._wait(2.0)
        guest.stop()

    def _fill_disk(self, _: Fault, worker: FleetWorker) -> None:
        started = worker.started
        worker.fill_disk()
        self._until(lambda: not worker.is_running or worker.started != started, FULL_S_MAX)
        if worker.is_running and worker.started == started:  # it has not written to the disk
            worker.kill()

    def _kill_at_step(self, fault: Fault, worker: FleetWorker) -> bool:
        """Hold a request or its response and kill the sender; return whether the request arrived."""
        assert fault.api is not None
        delay = Delay(STEP_HELD_S, after=fault.after)
        client = worker.client(self._process_number(fault))
        held = self._cluster.proxy.add(Rule(fault.api, delay, When.once(), client=client))
        self._until(lambda: held.injected > 0 or not worker.is_running, STEP_S_MAX)
        killed = worker.kill_process(self._process_number(fault))
        self._cluster.proxy.remove(held)
        return killed and held.injected > 0

    def _wire(self, fault: Fault, worker: FleetWorker) -> bool:
        assert fault.api is not None
        action: Error | Disconnect | Delay = Error(fault.code)
        if fault.kind is Kind.WIRE_CUT:
            action = Disconnect(after=fault.after)
        elif fault.kind is Kind.WIRE_DELAY:
            action = Delay(DELAY_S, after=fault.after)
        when = When.probability(fault.chance, CHANCE_SEED) if fault.chance else When.on_call(fault.nth)
        rule = self._cluster.proxy.add(Rule(fault.api, action, when))
        self._until(lambda: not fault.chance and rule.injected > 0, WIRE_S if fault.chance else STEP_S_MAX)
        if not rule.injected and fault.api.name == "INIT_PRODUCER_ID":
            worker.kill()  # a worker requests a producer id only when it starts
            self._until(lambda: rule.injected > 0, START_S_MAX)
        self._cluster.proxy.remove(rule)
        return rule.injected > 0
