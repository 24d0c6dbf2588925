"""The cluster of a campaign: workers connect through the proxies, the campaign's own clients directly."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import sleep

import orjson

from stream.broker.cluster import EmbeddedCluster
from stream.broker.embedded import EmbeddedBroker
from stream.tools.chaos.proxy import Api, Delay, ProxyGroup, Rule, When

PROXIED = "PROXIED"
_HELD_S = 30.0
_SETTLE_S = 0.5  # for the markers of transactions that have just ended
_QUORUM_STATE = Path("__cluster_metadata-0/quorum-state")
_SKIPPED = "Couldn't find leader endpoint"
_HEAP_MIB, _HEAP_MIB_OF_EACH = 768, 512  # of a single node; of each of several nodes


@dataclass(frozen=True, slots=True)
class Cluster:
    """Brokers, and a proxy in front of the second listener of each."""

    brokers: Sequence[EmbeddedBroker]
    bootstrap_servers: str
    proxy: ProxyGroup

    @property
    def nodes(self) -> int:
        return len(self.brokers)

    def broker(self, node: int) -> EmbeddedBroker:
        """Return the broker with a node id, which counts from 1."""
        return self.brokers[node - 1]

    def data_dir(self, node: int = 1) -> Path:
        """Return the folder of Kafka's own data."""
        folder = self.broker(node).data_dir
        assert folder is not None
        return folder / "kafka"

    def controller(self) -> int | None:
        """Return the node id of the active controller; None while there is none.

        Brokers report any node as the controller to clients, so this reads the state of the controllers on
        disk.
        """
        files = [self.data_dir(node) / _QUORUM_STATE for node in range(1, self.nodes + 1)]
        states = [orjson.loads(path.read_bytes()) for path in files]
        leaders = {state["leaderEpoch"]: state["leaderId"] for state in states if state["leaderId"] > 0}
        return leaders[max(leaders)] if leaders else None

    def kill(self) -> None:
        """Kill -9 the only broker and start it again with its data."""
        with self._transaction_ends_held():
            self.broker(1).kill()
        self.broker(1).start()

    def restart(self, while_stopped: Callable[[], None] = lambda: None) -> None:
        """Shut the only broker down cleanly and start it again."""
        with self._transaction_ends_held():
            self.broker(1).stop()
        while_stopped()
        self.broker(1).start()

    @property
    def markers_skipped(self) -> int:
        """How often a broker did not write the markers of an ended transaction."""
        logs = [broker.log for broker in self.brokers if broker.log.exists()]
        return sum(log.read_text(errors="replace").count(_SKIPPED) for log in logs)

    def read_logs(self) -> Mapping[int, str]:
        """Return the available log of each broker, by node id."""
        return {
            node: "".join(
                path.read_text(errors="replace")
                for path in sorted(broker.log.parent.glob("server.log*"), reverse=True)
            )
            for node, broker in enumerate(self.brokers, start=1)
        }

    @contextmanager
    def _transaction_ends_held(self) -> Iterator[None]:
        """Hold the requests that end transactions until the only broker has stopped.

        A single node that restarts after it decided on a transaction and before it wrote the markers may
        never write them, because it does not find itself as the leader of the partitions. No client can
        repair that. While the requests are held, transactions stay open and their ends are lost in transit,
        so clients see the same failure as with a broker that dies at any other moment.
        """
        assert self.nodes == 1, "a replicated cluster does not need this"
        held = [
            self.proxy.add(Rule(api, Delay(_HELD_S), When.probability(1.0, 0)))
            for api in (Api.END_TXN, Api.INIT_PRODUCER_ID)
        ]
        try:
            sleep(_SETTLE_S)
            yield
        finally:
            for rule in held:
                self.proxy.remove(rule)


@contextmanager
def cluster(folder: Path, session_timeout_ms: int, java: Path | None, nodes: int) -> Iterator[Cluster]:
    """Run the brokers and the proxies in front of them."""
    properties: Mapping[str, str] = {
        "group.consumer.session.timeout.ms": str(session_timeout_ms),
        "group.consumer.heartbeat.interval.ms": "500",
        "group.initial.rebalance.delay.ms": "0",
    }
    proxy = ProxyGroup(nodes)
    with EmbeddedCluster(
        nodes=nodes,
        data_dir=folder / "kafka",
        java=java,
        properties=properties,
        listeners={PROXIED: "PLAINTEXT"},
        advertised={PROXIED: proxy.ports},
        heap_mib=_HEAP_MIB if nodes == 1 else _HEAP_MIB_OF_EACH,
    ) as embedded:
        proxy.start([broker.bound(PROXIED) for broker in embedded.brokers])
        with proxy:
            yield Cluster(embedded.brokers, embedded.bootstrap_servers, proxy)
