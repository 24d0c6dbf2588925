"""Injects the faults of a replicated cluster: brokers are killed, stopped and frozen, leaders moved."""

import os
import signal
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from time import monotonic

from stream.broker.embedded import EmbeddedBroker
from stream.config import Settings
from stream.errors import Fatal, Retriable
from stream.kafka.clients import make_admin
from stream.tools.chaos.cluster import Cluster
from stream.tools.chaos.leaders import reorder_replicas, with_next_leaders
from stream.tools.chaos.plan import Fault, Kind
from stream.tools.chaos.probe import Probes
from stream.tools.chaos.waiter import Waiter
from stream.tools.kafka.cluster_view import OFFSETS_TOPIC, TRANSACTIONS_TOPIC, ClusterView

BROKER_SESSION_S = 9.0  # Kafka's default `broker.session.timeout.ms`; then the broker counts as dead
IN_SYNC_S_MAX = 120.0
REQUESTS_S_MAX = 60.0  # until a request of the campaign itself succeeds
START_S_MAX = 150.0
LEADERLESS_S_MAX = 60.0  # until the controller has noticed that the last in-sync replica is dead
ALONE_S = 3.0  # the last in-sync replica is the only one to acknowledge records
MIN_ISR = 2
_MIN_ISR_CONFIG = "min.insync.replicas"


class NodeInjector:
    """Injects faults into the nodes of a cluster, one at a time; afterwards all nodes run.

    Attributes:
        target: the target of the last fault, such as `node 2`.
    """

    def __init__(self, cluster: Cluster, settings: Settings, partitions: int, waiter: Waiter) -> None:
        self.target = ""
        self.view = ClusterView(partial(make_admin, settings))
        self._cluster = cluster
        self._settings = settings
        self._partitions = partitions
        self._until = waiter.until
        self._actions: Mapping[Kind, Callable[[Fault, str], bool]] = {
            Kind.LEADER_KILL: lambda fault, _: self._kill(self._leader(fault), fault),
            Kind.TRANSACTION_COORDINATOR_KILL: lambda fault, client: self._kill(
                self._coordinator(TRANSACTIONS_TOPIC, f"{settings.group_id}-{client}"), fault
            ),
            Kind.GROUP_COORDINATOR_KILL: lambda fault, _: self._kill(
                self._coordinator(OFFSETS_TOPIC, settings.group_id), fault
            ),
            Kind.CONTROLLER_KILL: lambda fault, _: self._kill(
                self._node("a controller", cluster.controller), fault
            ),
            Kind.NODE_STOP: lambda fault, _: self._stop(fault),
            Kind.ROLLING_RESTART: lambda _fault, _: self._restart_all(),
            Kind.LEADERS_MOVED: lambda _fault, _: self._move_leaders(),
            Kind.NODE_FROZEN: lambda fault, _: self._freeze(self._leader(fault), fault),
            Kind.MIN_ISR_LOST: lambda fault, _: self._lose_min_isr(fault),
            Kind.TWO_DOWN: lambda fault, _: self._kill_two(fault),
            Kind.IN_SYNC_DOWN: lambda fault, _: self.lose_in_sync(fault),
        }

    def inject(self, fault: Fault, client: str) -> bool:
        """Inject a fault; return whether it took effect. `client` is the client id of a worker process.

        Raises:
            Fatal: a broker did not start again, or the campaign's own request failed for too long.
        """
        return self._actions[fault.kind](fault, client)

    def await_in_sync(self) -> str:
        """Wait until all replicas are in sync, and make the preferred replicas leaders again.

        Returns a description of what is missing; empty if nothing is.
        """
        if not self._until(lambda: not self.view.not_in_sync(self._cluster.nodes), IN_SYNC_S_MAX):
            return self.view.not_in_sync(self._cluster.nodes)
        self.ask("the preferred leaders", self.view.elect_preferred)
        return ""

    def start_probes(self) -> Probes:
        """Start the probes of this cluster, and wait until each has committed.

        Raises:
            Fatal: one did not commit.
        """
        created: list[Probes] = []
        self.ask("the probes", lambda: created.append(Probes(self._settings, self.view, self._cluster.nodes)))
        probes, began = created[0], monotonic()
        probes.start()
        if not self._until(lambda: probes.commit_since(began), REQUESTS_S_MAX):
            raise Fatal(f"the probes committed nothing within {REQUESTS_S_MAX:.0f} s")
        return probes

    # -- one node --------------------------------------------------------------------------------------

    def _kill(self, node: int, fault: Fault) -> bool:
        self.target = f"node {node}"
        broker = self._cluster.broker(node)
        broker.kill()
        self._wait(fault.seconds)
        self._together([broker.start])
        return True

    def _stop(self, fault: Fault) -> bool:
        node = self._leader(fault)
        self.target = f"node {node}"
        broker = self._cluster.broker(node)
        self._together([broker.stop])
        self._wait(fault.seconds)
        self._together([broker.start])
        return True

    def _freeze(self, node: int, fault: Fault) -> bool:
        """Stop all threads of a broker until it counts as dead, and somewhat longer."""
        self.target = f"node {node}"
        pid = self._cluster.broker(node).pid
        assert pid is not None, f"node {node} does not run"
        os.kill(pid, signal.SIGSTOP)
        try:
            self._wait(BROKER_SESSION_S + fault.seconds)
        finally:
            os.kill(pid, signal.SIGCONT)
        return True

    # -- several nodes ---------------------------------------------------------------------------------

    def _restart_all(self) -> bool:
        self.target = "each node"
        for broker in self._cluster.brokers:
            self._together([broker.stop])
            self._together([broker.start])
            if not self._until(lambda: not self.view.not_in_sync(self._cluster.nodes), IN_SYNC_S_MAX):
                break  # `await_in_sync` reports it
        return True

    def _move_leaders(self) -> bool:
        """Give every partition, including those of internal topics, another leader at once."""
        self.target = "every partition"
        broker = self._cluster.broker(1).bootstrap_servers

        def move() -> None:
            reorder_replicas(broker, with_next_leaders(before, self._cluster.nodes))
            self.view.elect_preferred()

        before = self._replicas()
        self.ask("new leaders", move)
        return self._replicas() != before

    def _lose_min_isr(self, fault: Fault) -> bool:
        """Freeze a follower, while the partitions need all their replicas.

        Each node is also a controller. With two nodes down or frozen there is no quorum, so no replica leaves
        the in-sync set. Instead, the minimum is raised, as if one replica were already missing.
        """
        leader = self._leader(fault)
        follower = leader % self._cluster.nodes + 1
        self._set_min_isr(self._cluster.nodes)
        try:
            return self._freeze(follower, fault)
        finally:
            self._set_min_isr(MIN_ISR)

    def _kill_two(self, fault: Fault) -> bool:
        survivor = self._leader(fault)
        self.target = f"all but node {survivor}"
        others = self._others(survivor)
        self._together([broker.kill for broker in others])
        self._wait(fault.seconds)
        self._together([broker.start for broker in others])
        return True

    def lose_in_sync(self, fault: Fault, then: Callable[[int], None] = lambda _: None) -> bool:
        """Kill the only in-sync replica of all partitions; the others run, but must not become leaders.

        Return whether there was no leader. `then` is called with the killed node while there is none.
        """
        node = self._leader(fault)
        self.target = f"node {node}, then the others without it"
        last, others = self._cluster.broker(node), self._others(node)
        self._set_min_isr(1)
        for broker in others:  # cleanly, so that each leaves the in-sync replicas
            self._together([broker.stop])
        self._wait(ALONE_S)
        last.kill()
        self._together([broker.start for broker in others])
        is_leaderless = self._until(self._is_leaderless, LEADERLESS_S_MAX)
        if is_leaderless:
            then(node)
        is_elected = self._until(self._has_leader, fault.seconds)
        self._together([last.start])
        self._set_min_isr(MIN_ISR)
        return is_leaderless and not is_elected

    def _is_leaderless(self) -> bool:
        with suppress(Retriable):
            return not self.view.leaders(self._settings.input_topic)
        return False

    def _has_leader(self) -> bool:
        with suppress(Retriable):
            return bool(self.view.leaders(self._settings.input_topic))
        return False

    # -- roles -----------------------------------------------------------------------------------------

    def leader(self, topic: str, partition: int) -> int:
        """Return the node that leads a partition.

        Raises:
            Fatal: there was none for too long.
        """
        return self._node("a leader", lambda: self.view.leader(topic, partition))

    def _leader(self, fault: Fault) -> int:
        return self.leader(self._settings.input_topic, fault.worker % self._partitions)

    def _coordinator(self, topic: str, name: str) -> int:
        return self._node("a coordinator", lambda: self.view.coordinator(topic, name))

    def _node(self, what: str, find: Callable[[], int | None]) -> int:
        nodes: list[int] = []

        def ask() -> None:
            node = find()
            if node is None:
                raise Retriable(f"there is no such node: {what}")
            nodes.append(node)

        self.ask(what, ask)
        return nodes[0]

    def _others(self, node: int) -> list[EmbeddedBroker]:
        return [broker for broker in self._cluster.brokers if broker is not self._cluster.broker(node)]

    # -- requests and waiting --------------------------------------------------------------------------

    def _replicas(self) -> dict[str, dict[int, list[int]]]:
        replicas: list[dict[str, dict[int, list[int]]]] = []
        self.ask("the replicas", lambda: replicas.append(self.view.replicas()))
        return replicas[0]

    def _set_min_isr(self, number: int) -> None:
        """Set how many replicas must have a record before it is acknowledged, for all topics."""
        what = f"{_MIN_ISR_CONFIG}={number}"
        self.ask(what, lambda: self.view.set_topic_config(_MIN_ISR_CONFIG, str(number)))

    def ask(self, what: str, request: Callable[[], None]) -> None:
        """Repeat a request of the campaign itself until it succeeds.

        Raises:
            Fatal: it failed for too long.
        """
        why: list[Retriable] = []

        def succeeds() -> bool:
            try:
                request()
            except Retriable as error:
                why.append(error)
                self.view.forget()
                return False
            return True

        if not self._until(succeeds, REQUESTS_S_MAX):
            raise Fatal(f"the campaign's request for {what} failed for {REQUESTS_S_MAX:.0f} s: {why[-1]}")

    def _together(self, calls: Iterable[Callable[[], object]]) -> None:
        """Run calls concurrently, while the campaign continues.

        Raises:
            StreamError: a call failed, for example because a broker did not start.
        """
        chosen = list(calls)
        with ThreadPoolExecutor(len(chosen)) as pool:
            futures = [pool.submit(call) for call in chosen]
            self._until(lambda: all(future.done() for future in futures), START_S_MAX)
            for future in futures:
                future.result()

    def _wait(self, seconds: float) -> None:
        self._until(lambda: False, seconds)
