"""The broker of a campaign: workers reach it through the proxy, everybody else past it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from stream.broker.embedded import EmbeddedBroker
from stream.tools.chaos.proxy import Api, Delay, FaultProxy, Rule, When

PROXIED = "PROXIED"
_HELD_S = 30.0
_SETTLE_S = 0.5
_SKIPPED = "Couldn't find leader endpoint"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A broker, and the proxy in front of its second listener."""

    broker: EmbeddedBroker
    proxy: FaultProxy

    def kill(self) -> None:
        """Kill -9 the broker, and start it again with its data."""
        with self._no_transaction_ends():
            self.broker.kill()
        self.broker.start()

    def restart(self) -> None:
        """Stop the broker in order, and start it again."""
        with self._no_transaction_ends():
            self.broker.stop()
        self.broker.start()

    @property
    def markers_skipped(self) -> int:
        """How often the broker left out transaction markers that it owed."""
        log = self.broker.log
        return log.read_text(errors="replace").count(_SKIPPED) if log.exists() else 0

    @contextmanager
    def _no_transaction_ends(self) -> Iterator[None]:
        """Hold what ends transactions, until the broker is gone.

        A single node that starts again between the decision and the markers may skip these for ever, for it
        does not find itself as their leader; nothing that a client does can fix that. Transactions are
        open then, and their ends are lost on the way: the clients' side of it is all there.
        """
        held = [
            self.proxy.add(Rule(api, Delay(_HELD_S), When.probability(1.0, 0)))
            for api in (Api.END_TXN, Api.INIT_PRODUCER_ID)
        ]
        try:
            sleep(_SETTLE_S)  # for the markers of what was ended before
            yield
        finally:
            for rule in held:
                self.proxy.remove(rule)


@contextmanager
def cluster(folder: Path, session_timeout_ms: int, java: Path | None) -> Iterator[Cluster]:
    """Start broker and proxy; stop them at the end."""
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
