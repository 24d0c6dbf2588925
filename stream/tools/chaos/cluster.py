"""The broker of a campaign: workers connect through the proxy, the campaign's own clients directly."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from stream.broker.embedded import EmbeddedBroker
from stream.tools.chaos.proxy import Api, Delay, FaultProxy, Rule, When

PROXIED = "PROXIED"
_HELD_S = 30.0
_SETTLE_S = 0.5  # for the markers of transactions that ended just before
_SKIPPED = "Couldn't find leader endpoint"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A broker, and the proxy in front of its second listener."""

    broker: EmbeddedBroker
    proxy: FaultProxy

    def kill(self) -> None:
        """Kill -9 the broker and start it again with its data."""
        with self._transaction_ends_held():
            self.broker.kill()
        self.broker.start()

    @property
    def data_dir(self) -> Path:
        """The folder of Kafka's own data."""
        assert self.broker.data_dir is not None
        return self.broker.data_dir / "kafka"

    def restart(self, while_stopped: Callable[[], None] = lambda: None) -> None:
        """Stop the broker in order and start it again."""
        with self._transaction_ends_held():
            self.broker.stop()
        while_stopped()
        self.broker.start()

    @property
    def markers_skipped(self) -> int:
        """How often the broker did not write the markers of an ended transaction."""
        log = self.broker.log
        return log.read_text(errors="replace").count(_SKIPPED) if log.exists() else 0

    @contextmanager
    def _transaction_ends_held(self) -> Iterator[None]:
        """Hold the requests that end transactions until the broker has stopped.

        A single node that restarts after it decided on a transaction and before it wrote the markers may
        never write them, because it does not find itself as the leader of the partitions. No client can
        repair that. While the requests are held, transactions stay open and their ends get lost on the
        way, so clients meet the same failure as with a broker that dies at any other moment.
        """
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
def cluster(folder: Path, session_timeout_ms: int, java: Path | None) -> Iterator[Cluster]:
    """Run a broker and the proxy in front of it."""
    properties: Mapping[str, str] = {
        "group.consumer.session.timeout.ms": str(session_timeout_ms),
        "group.consumer.heartbeat.interval.ms": "500",
    }
    proxy = FaultProxy(0)
    with EmbeddedBroker(
        data_dir=folder / "kafka",
        java=java,
        properties=properties,
        listeners={PROXIED: "PLAINTEXT"},
        advertised={PROXIED: proxy.port},
        heap_mib=768,
    ) as broker:
        proxy.start(broker.bound(PROXIED))
        with proxy:
            yield Cluster(broker, proxy)
