"""Runs Apache Kafka as a child process: one node (broker and controller) on the loopback interface.

`stream.broker.cluster` runs several of them as a cluster.
"""

import os
import sys
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from stream.broker import archive, jars, runtime, tcp
from stream.broker.failure import not_started, tail
from stream.broker.fetch import cache_dir
from stream.broker.jvm import Jvm
from stream.broker.process import GuardedProcess
from stream.broker.properties import CLIENT_LISTENER, ClusterNode, Listener, broker_properties
from stream.broker.start import Start, await_start
from stream.broker.storage import Storage, TemporaryFolder
from stream.errors import Misconfigured

_TAIL_LINES = 30


@dataclass(frozen=True, slots=True)
class NodeSetup:
    """What a cluster of several nodes sets for one of its brokers.

    Attributes:
        node: the id of the node, and the quorum.
        ports: the ports of its listeners, that for clients first, and of its controller.
        cluster_id: returns the id of the cluster.
        scratch: the temporary folder of the cluster, which exists as long as one of its brokers.
    """

    node: ClusterNode
    ports: Sequence[int]
    cluster_id: Callable[[], str]
    scratch: TemporaryFolder | None


@dataclass(kw_only=True, eq=False)
class EmbeddedBroker:
    """A Kafka broker that lives as long as this object and never outlives this process.

    Ports and data stay the same across stops, kills and starts. `close`, or leaving the `with` block, stops
    the broker permanently and deletes its data unless a `data_dir` was given.

    Attributes:
        port: the port of the broker; 0 means any free port.
        data_dir: the folder for its data; by default a temporary folder.
        kafka: the version of Kafka, one of those with a list in `stream/broker/jars/`.
        java: a java binary or the home of a JRE (the setting STREAM_JAVA).
        properties: Kafka properties that override the defaults of this module.
        listeners: additional listeners, name to security protocol, each on a free port; see `address`.
        advertised: name of an additional listener to the port that is advertised to clients (of a proxy).
        heap_mib: heap size of the JVM.
        start_timeout_s: time limit of a start, without downloads.
        setup: set by an `EmbeddedCluster`; None for a single node.
        records_archive: whether its next `stop` writes the archive of loaded classes.

    Raises:
        Misconfigured: the system is Windows, the port is taken, the version of Kafka is unknown, or a
            property must not be set.
    """

    port: int = 0
    data_dir: Path | None = None
    kafka: str = jars.KAFKA_VERSION
    java: Path | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    listeners: Mapping[str, str] = field(default_factory=dict)
    advertised: Mapping[str, int] = field(default_factory=dict)
    heap_mib: int = 512
    start_timeout_s: float = 60.0
    setup: NodeSetup | None = None
    records_archive: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        """Choose ports and the folder; nothing runs yet."""
        if sys.platform == "win32":
            raise Misconfigured(
                "the embedded broker needs Linux or macOS",
                "set STREAM_BOOTSTRAP_SERVERS to a broker that is already running",
            )
        jars.listed(self.kafka)
        if self.port:
            tcp.check_free(self.port)
        names = {CLIENT_LISTENER: "PLAINTEXT", **self.listeners}
        avoid = self.advertised.values()
        ports = self.setup.ports if self.setup else _choose_ports(self.port, len(names), avoid)
        self._listeners = tuple(
            Listener(name, security, port, self.advertised.get(name))
            for (name, security), port in zip(names.items(), ports, strict=False)
        )
        self._controller_port = ports[-1]
        self._scratch = self.setup.scratch if self.setup else None
        folder = self.data_dir
        if folder is None:
            self._scratch = TemporaryFolder()
            folder = self._scratch.path
        self._running = _Running(is_member=self.setup is not None)
        weakref.finalize(self, self._running.release)
        nodes = len(self.setup.node.controller_ports) if self.setup else 1
        self._storage = Storage(folder, self.kafka, nodes)
        self._settings(self._storage.log_dir)  # refuses a forbidden property before any download

    @property
    def bootstrap_servers(self) -> str:
        """The value of `bootstrap.servers` for clients."""
        return self.address(CLIENT_LISTENER)

    @property
    def pid(self) -> int | None:
        """The process id of the broker, or None if it does not run."""
        running = self._running.process
        return running.pid if running and running.poll() is None else None

    def address(self, listener: str) -> str:
        """Return the advertised address of a listener."""
        return next(each.address for each in self._listeners if each.name == listener)

    def bound(self, listener: str) -> str:
        """Return the address that a listener is bound to: the target of a proxy."""
        return next(each.bound for each in self._listeners if each.name == listener)

    @property
    def log(self) -> Path:
        """The path of the broker's log."""
        return self._storage.log

    def log_tail(self, lines: int = _TAIL_LINES) -> str:
        """Return the last lines of the JVM's output, then those of the broker's log."""
        parts = tail(self._storage.console, lines), tail(self._storage.log, lines)
        return "\n".join(part for part in parts if part)

    def start(self) -> Self:
        """Download what is missing, format a new folder, start the broker; return when it accepts clients.

        Raises:
            Misconfigured: java, a port, the folder or a property is wrong.
            Refused: a download failed, the folder is in use, or the broker did not start and its log names
                the cause.
            Fatal: the broker did not start for an unknown cause.
        """
        try:
            await_start([self.launch()], self.start_timeout_s)
        except BaseException:
            self.kill()
            raise
        return self

    def launch(self) -> Start:
        """Do what `start` does, but return at once; `await_start` waits for the broker."""
        assert self.pid is None, "the broker is already running"
        self.kill()  # leftovers of a run that crashed
        kafka_runtime = runtime.prepare(self.java, self.kafka)
        self._archive = archive.path(kafka_runtime, cache_dir())
        # One node of a cluster is enough, and two would record at the same time.
        is_first = self.setup is None or self.setup.node.node_id == 1
        self.records_archive = is_first and not self._archive.exists()
        jvm = Jvm(kafka_runtime, self._archive)
        for port in (self._controller_port, *(listener.port for listener in self._listeners)):
            tcp.check_free(port)
        lock = self._storage.lock()
        try:
            return self._launch(jvm, lock)
        except OSError as error:
            raise not_started("the broker could not be started", str(error)) from error
        finally:
            os.close(lock)  # the guard keeps its own copy

    def stop(self) -> None:
        """Shut the broker down cleanly; its data is kept for the next start.

        Do not call it while transactions are being committed. During the clean shutdown of a single node,
        partitions have no leader while Kafka still ends transactions; Kafka considers them deleted and never
        writes their markers ("Couldn't find leader endpoint" in its log). Those transactions stay pending
        after the next start. `kill` is safe: written data is in the page cache, which outlives the process.
        """
        process, self._running.process = self._running.process, None
        if process is not None:
            process.stop()
            if self.records_archive and process.poll() == archive.CLEAN_SHUTDOWN:
                archive.keep(self._storage.recorded, self._archive)

    def kill(self) -> None:
        """Kill the broker with SIGKILL, like a crash; its data is kept for the next start."""
        process, self._running.process = self._running.process, None
        if process is not None:
            process.kill()

    def close(self) -> None:
        """Stop the broker permanently and delete a temporary folder; kill it if it has a given folder."""
        if self._scratch is None or self.setup is not None:
            self.kill()
            return
        self.stop()
        self._scratch.delete()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _settings(self, log_dir: Path) -> dict[str, str]:
        member = self.setup.node if self.setup else None
        return broker_properties(self._listeners, self._controller_port, log_dir, self.properties, member)

    def _launch(self, jvm: Jvm, lock: int) -> Start:
        """Format a new folder and start the process."""
        settings = self._settings(self._storage.log_dir)
        cluster_id = self.setup.cluster_id() if self.setup else None
        self._storage.format(settings["node.id"], self._settings, jvm.storage_tool(), cluster_id)
        logged_bytes = self._storage.prepare(settings)
        self._running.process = GuardedProcess(
            jvm.broker(self._storage, self.heap_mib, records=self.records_archive),
            folder=self._storage.run_dir,
            console=self._storage.console,
            scratch=self._scratch.path if self._scratch else None,
            lock=lock,
        )
        return Start(self._running.process, self._storage, self._listeners[0].port, logged_bytes)


class _Running:
    """The process, which ends with the broker object: on `close`, garbage collection or exit."""

    def __init__(self, *, is_member: bool) -> None:
        self.process: GuardedProcess | None = None
        self._is_member = is_member
        self._owner_pid = os.getpid()

    def release(self) -> None:
        if os.getpid() != self._owner_pid:
            return  # a forked child has a copy of the object but does not own the broker
        process, self.process = self.process, None
        if process is not None and self._is_member:
            process.kill()  # an orderly stop waits for the other nodes
        elif process is not None:
            process.stop()


def _choose_ports(port: int, listeners: int, avoid: Iterable[int]) -> list[int]:
    """Return a port for each listener, `port` first if it is given, and one for the controller."""
    ports = [port] if port else []
    while len(ports) < listeners + 1:  # terminates: free_port returns a new port, or raises
        ports.append(tcp.free_port(avoid=frozenset({*ports, *avoid})))
    return ports
