"""Builds the broker's `server.properties` from ports and folders, without I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stream.errors import Misconfigured

HOST = "localhost"
ADDRESS = "127.0.0.1"  # never all interfaces: the broker serves this machine only
CLIENT_LISTENER = "PLAINTEXT"
CONTROLLER_LISTENER = "CONTROLLER"
REPLICAS = 3  # of each topic of a cluster

_FIXED = ("log.dir", "log.dirs", "metadata.log.dir", "process.roles")
_FIXED_IN_CLUSTER = ("controller.quorum.voters", "node.id")

_DEFAULTS: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "controller.listener.names": CONTROLLER_LISTENER,
    "inter.broker.listener.name": CLIENT_LISTENER,
    "auto.create.topics.enable": "false",  # topics are created explicitly, with their partitions
    # Kafka's default of 50 partitions each would delay the first group and transaction by seconds.
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.num.partitions": "8",
    "share.coordinator.state.topic.num.partitions": "8",
    "group.initial.rebalance.delay.ms": "0",  # as in the configuration that comes with Kafka
    # Lower bounds, so that tests can lower sessions and heartbeats. The defaults remain Kafka's (45 s, 5 s).
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "200",
    "log.cleaner.enable": "true",  # changelogs are compacted
    # A quarter of the default 128 MiB: the buffer is allocated on the heap at start.
    "log.cleaner.dedupe.buffer.size": str(32 * 1024 * 1024),
}
_REPLICATION = (
    "default.replication.factor",
    "offsets.topic.replication.factor",
    "transaction.state.log.replication.factor",
    "share.coordinator.state.topic.replication.factor",
)
_IN_SYNC_MIN = ("transaction.state.log.min.isr", "share.coordinator.state.topic.min.isr")
# Only for a single node; several nodes have Kafka's defaults, as in the clusters of users.
_ONE_NODE: Mapping[str, str] = {
    "node.id": "1",
    **dict.fromkeys((*_REPLICATION, *_IN_SYNC_MIN), "1"),
    # Longer than a node is fenced after a kill: a transaction that the coordinator ends in that time never
    # gets its markers ("Couldn't find leader endpoint" in the log), and its offsets stay pending forever.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "12000",
    # After a kill the controller accepts the broker again only when its last session has expired; the broker
    # retries at this interval. The session stays at Kafka's 9 s: with 3 s a busy machine fenced live brokers.
    "broker.heartbeat.interval.ms": "500",
}


@dataclass(frozen=True, slots=True)
class Listener:
    """A port that clients connect to.

    Attributes:
        name: upper case, unique within a broker.
        security: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
        port: on the loopback interface.
        advertised_port: the port of a proxy that is advertised to clients instead.
    """

    name: str
    security: str
    port: int
    advertised_port: int | None = None

    @property
    def address(self) -> str:
        """The address for the `bootstrap.servers` of clients."""
        return f"{HOST}:{self.advertised_port or self.port}"

    @property
    def bound(self) -> str:
        """The address that the broker itself listens on."""
        return f"{HOST}:{self.port}"


@dataclass(frozen=True, slots=True)
class ClusterNode:
    """The place of a broker in a cluster of several nodes.

    Attributes:
        node_id: 1 for the first node.
        controller_ports: the controller ports of all nodes, in the order of their ids.
    """

    node_id: int
    controller_ports: tuple[int, ...]

    @property
    def properties(self) -> dict[str, str]:
        """The properties of a member: the quorum, and three replicas of each topic."""
        voters = (f"{node}@{HOST}:{port}" for node, port in enumerate(self.controller_ports, start=1))
        replicas = min(len(self.controller_ports), REPLICAS)
        return {
            "node.id": str(self.node_id),
            "controller.quorum.voters": ",".join(voters),
            **dict.fromkeys(_REPLICATION, str(replicas)),
            **dict.fromkeys((*_IN_SYNC_MIN, "min.insync.replicas"), str(replicas - 1)),
        }


def broker_properties(
    listeners: tuple[Listener, ...],
    controller_port: int,
    log_dir: Path,
    overrides: Mapping[str, str],
    member: ClusterNode | None = None,
) -> dict[str, str]:
    """Return all properties of the broker: the defaults, then `overrides`. A single node has no `member`.

    Raises:
        Misconfigured: `overrides` sets a property of this package, or the folder contains a comma.
    """
    taken = sorted(set(overrides) & {*_FIXED, *(_FIXED_IN_CLUSTER if member else ())})
    if taken:
        raise Misconfigured(
            f"the embedded broker sets {', '.join(taken)} itself", "do not set it; data_dir sets the folder"
        )
    if "," in str(log_dir):
        raise Misconfigured(
            f"the folder {log_dir} contains a comma, which separates folders for Kafka",
            "choose a data_dir without a comma",
        )
    node_id = overrides.get("node.id", _ONE_NODE["node.id"])
    # Static voters: unlike those of a dynamic quorum, they may change their port between two starts.
    alone = {**_ONE_NODE, "controller.quorum.voters": f"{node_id}@{HOST}:{controller_port}"}
    security = {listener.name: listener.security for listener in listeners} | {
        CONTROLLER_LISTENER: "PLAINTEXT"
    }
    bound = [f"{listener.name}://{ADDRESS}:{listener.port}" for listener in listeners]
    return {
        **_DEFAULTS,
        "log.dirs": str(log_dir),
        "listeners": ",".join([*bound, f"{CONTROLLER_LISTENER}://{ADDRESS}:{controller_port}"]),
        "advertised.listeners": ",".join(f"{listener.name}://{listener.address}" for listener in listeners),
        "listener.security.protocol.map": ",".join(
            f"{name}:{protocol}" for name, protocol in security.items()
        ),
        **(member.properties if member else alone),
        **overrides,
    }


def render(properties: Mapping[str, str]) -> str:
    """Return the content of a Java properties file: ASCII, one line per property."""
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
    """Escape a character: Java reads the file as Latin-1, other characters as escaped UTF-16 units."""
    if " " <= char <= "~":
        return char
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
