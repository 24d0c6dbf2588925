"""Runs Apache Kafka as a cluster of several nodes, each a child process on the loopback interface."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from stream.broker import jars, runtime, tcp
from stream.broker.embedded import EmbeddedBroker, NodeSetup
from stream.broker.properties import CLIENT_LISTENER, ClusterNode
from stream.broker.start import await_start
from stream.broker.storage import TemporaryFolder, claim_cluster
from stream.errors import Misconfigured

NODES = (1, 3, 5, 7)
HEAP_MIB = 384
_PORT_MAX = 65_535


@dataclass(kw_only=True, eq=False)
class EmbeddedCluster:
    """A Kafka cluster that lives as long as this object and never outlives this process.

    Each node is a broker and a controller. Topics, including Kafka's internal ones, have three replicas and
    `min.insync.replicas=2`, so that one node may fail. Groups have the settings of Kafka's own configuration
    file, except for lower minimums of their sessions and heartbeats. A cluster of one node is an
    `EmbeddedBroker` with its folder and settings.

    Each node can be stopped, killed and started individually: `cluster.brokers[0].kill()`. It starts only
    if most nodes run; `start` starts all nodes that are not running.

    Attributes:
        nodes: number of nodes: 1, 3, 5 or 7.
        port: the port of the first node, followed by those of the others; 0 means any free ports.
        data_dir: the folder for the data, with a folder `node-1`, … for each; by default a temporary one.
        kafka: the version of Kafka, one of those with a list in `stream/broker/jars/`.
        java: a java binary or the home of a JRE (the setting STREAM_JAVA).
        properties: Kafka properties of each node that override the defaults.
        listeners: additional listeners, name to security protocol, each on a free port; see `address`.
        advertised: name of an additional listener to the ports that are advertised to clients (of proxies),
            one for each node.
        heap_mib: heap size of the JVM of each node. With 384 MiB a node takes about 200 MiB of memory after
            the start and 300 MiB under load.
        start_timeout_s: time limit of a start, without downloads.
        brokers: the nodes; the first has `node.id` 1.

    Raises:
        Misconfigured: the number of nodes is not supported, or as for `EmbeddedBroker`.
    """

    nodes: int = 3
    port: int = 0
    data_dir: Path | None = None
    kafka: str = jars.KAFKA_VERSION
    java: Path | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    listeners: Mapping[str, str] = field(default_factory=dict)
    advertised: Mapping[str, Sequence[int]] = field(default_factory=dict)
    heap_mib: int = HEAP_MIB
    start_timeout_s: float = 120.0
    brokers: tuple[EmbeddedBroker, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Choose ports and the folder; nothing runs yet."""
        if self.nodes not in NODES:
            raise Misconfigured(
                f"an embedded cluster has {', '.join(map(str, NODES[:-1]))} or {NODES[-1]} nodes, not "
                f"{self.nodes}: its controllers need a majority, so an even number survives no more failures",
                "choose 3 nodes: one may fail",
            )
        for name, ports in self.advertised.items():
            if len(ports) != self.nodes:
                raise Misconfigured(
                    f"the number of ports advertised for {name} is {len(ports)}, not {self.nodes}",
                    "give one port for each node",
                )
        self._scratch: TemporaryFolder | None = None
        self._claim: Callable[[], str] | None = None
        setups: Sequence[NodeSetup | None] = [None] if self.nodes == 1 else self._node_setups()
        self.brokers = tuple(self._broker(index, setup) for index, setup in enumerate(setups))

    @property
    def bootstrap_servers(self) -> str:
        """The value of `bootstrap.servers` for clients: all nodes, separated by commas."""
        return self.address(CLIENT_LISTENER)

    def address(self, listener: str) -> str:
        """Return the advertised addresses of a listener, separated by commas."""
        return ",".join(broker.address(listener) for broker in self.brokers)

    def start(self) -> Self:
        """Start all nodes that are not running, in parallel; return when all of them accept connections.

        Raises:
            Misconfigured: java, a port, the folder or a property is wrong.
            Refused: a download failed, the folder is in use or has the data of another number of nodes, or
                a node did not start and its log names the cause.
            Fatal: a node did not start for an unknown cause.
        """
        if self._claim is not None:
            self._claim()
        missing = [broker for broker in self.brokers if broker.pid is None]
        runtime.prepare(self.java, self.kafka)  # downloads what is missing once, not once per node
        try:
            with ThreadPoolExecutor(len(self.brokers)) as pool:
                starts = list(pool.map(EmbeddedBroker.launch, missing))
            await_start(starts, self.start_timeout_s)
        except BaseException:
            for broker in missing:
                broker.kill()
            raise
        return self

    def close(self) -> None:
        """Stop all nodes permanently, and delete a temporary folder.

        The nodes of a cluster are killed, because the last ones would wait for a majority of controllers.
        Before that, the first node is stopped cleanly if it records the archive of loaded classes.
        """
        if self._scratch is not None and self.brokers[0].records_archive:
            self.brokers[0].stop()
        for broker in self.brokers:
            broker.close()
        if self._scratch is not None:
            self._scratch.delete()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _broker(self, index: int, setup: NodeSetup | None) -> EmbeddedBroker:
        data_dir = self.data_dir or (self._scratch.path if self._scratch else None)
        return EmbeddedBroker(
            port=self.port + index if self.port else 0,
            data_dir=data_dir / f"node-{index + 1}" if data_dir and setup else data_dir,
            kafka=self.kafka,
            java=self.java,
            properties=self.properties,
            listeners=self.listeners,
            advertised={name: ports[index] for name, ports in self.advertised.items()},
            heap_mib=self.heap_mib,
            start_timeout_s=self.start_timeout_s,
            setup=setup,
        )

    def _node_setups(self) -> list[NodeSetup]:
        """Choose the folder, and all ports at once, so that no two nodes take the same one."""
        if self.port + self.nodes - 1 > _PORT_MAX:
            raise Misconfigured(
                f"{self.nodes} nodes need the ports {self.port} to {self.port + self.nodes - 1}, but "
                f"{_PORT_MAX} is the last one",
                "choose a lower port, or 0 for any free ports",
            )
        folder = self.data_dir
        if folder is None:
            self._scratch = TemporaryFolder()
            folder = self._scratch.path
        ports = list(range(self.port, self.port + self.nodes)) if self.port else []
        avoid = frozenset(port for each in self.advertised.values() for port in each)
        while len(ports) < self.nodes * (
            len(self.listeners) + 2
        ):  # terminates: free_port returns new ones, or raises
            ports.append(tcp.free_port(avoid=avoid | set(ports)))
        members = [tuple(ports[index :: self.nodes]) for index in range(self.nodes)]
        controllers = tuple(each[-1] for each in members)
        self._claim = claim = partial(claim_cluster, folder, self.kafka, self.nodes)
        return [
            NodeSetup(ClusterNode(index + 1, controllers), each, claim, self._scratch)
            for index, each in enumerate(members)
        ]
