"""The broker's properties: pure, from ports and folders to a `server.properties`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stream.errors import Misconfigured

HOST = "localhost"
ADDRESS = "127.0.0.1"  # never all interfaces: the broker is for this machine only
CLIENT_LISTENER = "PLAINTEXT"
CONTROLLER_LISTENER = "CONTROLLER"

_OURS = ("log.dir", "log.dirs", "metadata.log.dir", "process.roles")

_ALWAYS: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": CONTROLLER_LISTENER,
    "inter.broker.listener.name": CLIENT_LISTENER,
    "auto.create.topics.enable": "false",  # a topic is made on purpose, with its partitions
    # One node holds every replica.
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # 50 partitions each are for clusters: they cost this one seconds at its first group and transaction.
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.num.partitions": "8",
    "share.coordinator.state.topic.num.partitions": "8",
    "group.initial.rebalance.delay.ms": "0",
    # Lower bounds, so that a test may ask for short sessions. The defaults stay Kafka's (45 s).
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "200",
    # With its next heartbeat a member hears of another, who stands idle until then; Kafka's are 5 s apart.
    "group.consumer.heartbeat.interval.ms": "1000",
    # Longer than this node is fenced after a kill: a transaction that the coordinator ends meanwhile never
    # gets its markers ("Couldn't find leader endpoint" in the log), and offsets are pending for ever.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "12000",
    # After a kill the controller lets the broker in again only when its last session is over, and it asks at
    # this interval. The session stays at Kafka's 9 s: with 3 s a busy machine fenced brokers that were alive.
    "broker.heartbeat.interval.ms": "500",
    "log.cleaner.enable": "true",  # changelogs are compacted
    # A quarter of the default 128 MiB: the buffer is taken from the heap at once.
    "log.cleaner.dedupe.buffer.size": str(32 * 1024 * 1024),
}


@dataclass(frozen=True, slots=True)
class Listener:
    """A port that clients connect to.

    Attributes:
        name: upper case, unique in a broker.
        security: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
        port: on this machine's loopback.
        advertised_port: that clients are told instead, of a proxy.
    """

    name: str
    security: str
    port: int
    advertised_port: int | None = None

    @property
    def address(self) -> str:
        """What a client's `bootstrap.servers` takes."""
        return f"{HOST}:{self.advertised_port or self.port}"

    @property
    def bound(self) -> str:
        """Where the broker itself listens."""
        return f"{HOST}:{self.port}"


def broker_properties(
    listeners: tuple[Listener, ...],
    controller_port: int,
    log_dir: Path,
    overrides: Mapping[str, str],
) -> dict[str, str]:
    """Everything that the broker is told: ours, then `overrides`.

    Raises:
        Misconfigured: an override of a property that this package sets by itself.
    """
    taken = sorted(set(overrides) & set(_OURS))
    if taken:
        raise Misconfigured(
            f"the embedded broker sets {', '.join(taken)} itself", "leave it out; data_dir names the folder"
        )
    if "," in str(log_dir):
        raise Misconfigured(
            f"Kafka takes a comma as a separator of folders: {log_dir}", "choose a folder without one"
        )
    node_id = overrides.get("node.id", _ALWAYS["node.id"])
    security = {listener.name: listener.security for listener in listeners} | {
        CONTROLLER_LISTENER: "PLAINTEXT"
    }
    bound = [f"{listener.name}://{ADDRESS}:{listener.port}" for listener in listeners]
    return {
        **_ALWAYS,
        "log.dirs": str(log_dir),
        "listeners": ",".join([*bound, f"{CONTROLLER_LISTENER}://{ADDRESS}:{controller_port}"]),
        "advertised.listeners": ",".join(f"{listener.name}://{listener.address}" for listener in listeners),
        "listener.security.protocol.map": ",".join(
            f"{name}:{protocol}" for name, protocol in security.items()
        ),
        # Static voters: unlike a dynamic quorum's, they may change their port between two starts.
        "controller.quorum.voters": f"{node_id}@{HOST}:{controller_port}",
        **overrides,
    }


def render(properties: Mapping[str, str]) -> str:
    """As a Java properties file: ASCII, a line per property."""
    return "".join(f"{_escape(key)}={_escape(value)}\n" for key, value in properties.items())


def _escape(text: str) -> str:
    named = {
        "\\": "\\\\",
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "=": "\\=",
        ":": "\\:",
        "#": "\\#",
        "!": "\\!",
        " ": "\\ ",
    }
    return "".join(named.get(char) or _ascii(char) for char in text)


def _ascii(char: str) -> str:
    """Java reads the file as Latin-1 and takes the rest as UTF-16 units."""
    if " " <= char <= "~":
        return char
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
