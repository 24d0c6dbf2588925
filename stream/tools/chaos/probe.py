"""Transactions without a worker, which show how long Kafka and its client alone stall.

There is one probe per node: that node coordinates its transactions, and the next node leads the partition to
which it writes. So a fault of any node affects two of three probes. They connect directly to the brokers,
because faults on the wire are for the workers only.
"""

import itertools
import threading
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic

from stream.config import Settings
from stream.errors import Retriable
from stream.tools.kafka.bare_transactions import CALL_S_MAX, BareTransactions
from stream.tools.kafka.cluster_view import TRANSACTIONS_TOPIC, ClusterView, coordinator_partition

PROBE_TOPIC = "chaos-probe"
INTERVAL_S = 0.1
HANG_S = 3 * CALL_S_MAX + 10.0  # a commit has at most three calls; beyond it, one does not return


def next_node(node: int, nodes: int) -> int:
    """Return the node after this one; node ids count from 1."""
    return node % nodes + 1


def transactional_ids(leaders: Mapping[int, int], nodes: int) -> dict[int, str]:
    """Return node -> a transactional id that it coordinates.

    Args:
        leaders: partition of the transactions topic -> node id.
        nodes: number of nodes; each leads a partition.
    """
    ids: dict[int, str] = {}
    for number in itertools.count():  # ends: Kafka spreads the leaders over all nodes
        name = f"chaos-probe-{number}"
        ids.setdefault(leaders[coordinator_partition(name, len(leaders))], name)
        if len(ids) == nodes:
            return ids
    raise AssertionError


class Probe:
    """Commits transactions of one record, one after the other, in its own thread.

    Attributes:
        commits: number of committed transactions.
        committed_at: time of the last one, on the monotonic clock; 0 if there is none yet.
        hangs: number of calls that did not return; each left its thread behind.
    """

    def __init__(self, settings: Settings, transactional_id: str, partition: int) -> None:
        self.commits = 0
        self.hangs = 0
        self._settings = settings
        self._id = transactional_id
        self._partition = partition
        self.committed_at = 0.0
        self._worst_s = 0.0
        self._called_at = monotonic()
        self._generation = 0
        self._stopped = threading.Event()

    def start(self) -> None:
        self._generation += 1
        self._called_at = monotonic()
        threading.Thread(target=self._run, args=(self._generation,), daemon=True, name=self._id).start()

    def check(self) -> None:
        """Measure, and replace the thread if its call does not return."""
        now = monotonic()
        if self.committed_at:
            self._worst_s = max(self._worst_s, now - self.committed_at)
        if now - self._called_at > HANG_S and not self._stopped.is_set():
            self.hangs += 1
            self.start()

    def reset(self) -> float:
        """Return the longest time without a commit, and start over; an ongoing stall keeps its start."""
        self.check()
        worst, self._worst_s = self._worst_s, 0.0
        return worst

    def stop(self) -> None:
        self._stopped.set()

    def _run(self, generation: int) -> None:
        transactions = BareTransactions(self._settings, self._id)
        while not self._stopped.wait(INTERVAL_S) and generation == self._generation:
            self._called_at = monotonic()
            with suppress(Retriable):
                transactions.commit(PROBE_TOPIC, self._partition, b"probe")
                if generation == self._generation:
                    self._committed()

    def _committed(self) -> None:
        now = monotonic()
        if self.committed_at:
            self._worst_s = max(self._worst_s, now - self.committed_at)
        self.committed_at = now
        self.commits += 1


class Probes:
    """The probes of a cluster."""

    def __init__(self, settings: Settings, view: ClusterView, nodes: int) -> None:
        """Create the topic of the probes.

        Raises:
            Retriable: the cluster did not create it, or has no leaders for transactions.
        """
        replicas = [sorted(range(1, nodes + 1), key=lambda n: (n - p - 1) % nodes) for p in range(nodes)]
        view.create_topic(PROBE_TOPIC, replicas)
        leaders = view.leaders(TRANSACTIONS_TOPIC)
        if set(leaders.values()) != set(range(1, nodes + 1)):
            raise Retriable(f"not every node coordinates transactions: {leaders}")
        self._probes = [
            Probe(settings, name, next_node(node, nodes) - 1)  # partition 0 is led by node 1
            for node, name in transactional_ids(leaders, nodes).items()
        ]

    @property
    def commits(self) -> int:
        return sum(probe.commits for probe in self._probes)

    @property
    def hangs(self) -> int:
        return sum(probe.hangs for probe in self._probes)

    def commit_since(self, time_s: float) -> bool:
        """Whether each probe has committed since then, on the monotonic clock."""
        return all(probe.committed_at > time_s for probe in self._probes)

    def start(self) -> None:
        for probe in self._probes:
            probe.start()

    def check(self) -> None:
        """Measure, and replace hanging threads."""
        for probe in self._probes:
            probe.check()

    def reset(self) -> float:
        """Return the longest stall of any probe, and start over."""
        return max(probe.reset() for probe in self._probes)

    def stop(self) -> None:
        for probe in self._probes:
            probe.stop()
