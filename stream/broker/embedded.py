"""Apache Kafka itself as a child process: one node, broker and controller in one, on the loopback."""

import os
import shutil
import sys
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Self

from stream.broker import archive, runtime, tcp
from stream.broker.failure import not_started, tail
from stream.broker.fetch import cache_dir
from stream.broker.jvm import Jvm
from stream.broker.process import GuardedProcess
from stream.broker.properties import CLIENT_LISTENER, Listener, broker_properties
from stream.broker.storage import Storage
from stream.errors import Misconfigured

_LOOK_AGAIN_S = 0.05
_STARTED = "Kafka Server started"  # logged when the controller let the broker in and requests are taken
_TAIL_LINES = 30
_LOG_LINES_MAX = 10_000  # of one start that failed


@dataclass(kw_only=True, eq=False)
class EmbeddedBroker:
    """A Kafka broker that lives as long as this object, and never longer than this process.

    The same ports and the same data over every stop, kill and start; `close`, or leaving the `with`
    block, ends it for good and deletes its data unless a `data_dir` was given.

    Attributes:
        port: of the broker, 0 for any free one.
        data_dir: keeps its data there; a temporary folder otherwise.
        java: a java binary or the home of a JRE (the setting STREAM_JAVA).
        properties: Kafka's, over ours.
        listeners: further ones, name to security protocol, each on a free port: see `address`.
        advertised: name of a further listener to the port that clients are told, where a proxy listens.
        heap_mib: of the JVM.
        start_timeout_s: how long a start may take, a download not counted.

    Raises:
        Misconfigured: this is Windows; the port is taken; a property is ours to set.
    """

    port: int = 0
    data_dir: Path | None = None
    java: Path | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    listeners: Mapping[str, str] = field(default_factory=dict)
    advertised: Mapping[str, int] = field(default_factory=dict)
    heap_mib: int = 512
    start_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        """Choose ports and folder; nothing runs yet."""
        if sys.platform == "win32":
            raise Misconfigured("the embedded broker needs Linux or macOS", "set STREAM_BOOTSTRAP_SERVERS")
        if self.port:
            tcp.check_free(self.port)
        self._listeners, self._controller_port = _with_ports(self.port, self.listeners, self.advertised)
        folder = self.data_dir or Path(tempfile.mkdtemp(prefix="anagram-stream-broker-"))
        self._held = _Held(None if self.data_dir else folder)
        weakref.finalize(self, self._held.let_go)
        self._storage = Storage(folder)
        self._settings(self._storage.log_dir)  # a wrong one is refused here, before anything is fetched

    @property
    def bootstrap_servers(self) -> str:
        """What a client's setting of that name takes."""
        return self.address(CLIENT_LISTENER)

    @property
    def pid(self) -> int | None:
        """The broker's process id while it runs."""
        running = self._held.process
        return running.pid if running and running.poll() is None else None

    def address(self, listener: str) -> str:
        """The address that clients of one of its listeners take, by name."""
        return next(each.address for each in self._listeners if each.name == listener)

    def bound(self, listener: str) -> str:
        """Where one of its listeners listens, by name: the target of a proxy."""
        return next(each.bound for each in self._listeners if each.name == listener)

    @property
    def log(self) -> Path:
        """The broker's own log."""
        return self._storage.log

    def log_tail(self, lines: int = _TAIL_LINES) -> str:
        """The last lines that the JVM itself printed, then those of the broker's log."""
        parts = tail(self._storage.console, lines), tail(self._storage.log, lines)
        return "\n".join(part for part in parts if part)

    def start(self) -> Self:
        """Fetch what is missing, format the folder if it is new, start, and return when it answers.

        Raises:
            Misconfigured: java, a port, the folder or a property is not right.
            Refused: something could not be fetched, the folder is in use, or the broker did not start
                for a cause that its log names.
            Fatal: it did not start for any other cause.
        """
        assert self.pid is None, "it runs already"
        self.kill()  # what a crash has left of the last run
        ready = runtime.ready(self.java)
        self._archive = archive.path(ready, cache_dir())
        jvm = Jvm(ready, self._archive)
        for port in (self._controller_port, *(listener.port for listener in self._listeners)):
            tcp.check_free(port)
        lock = self._storage.lock()
        try:
            logged_bytes = self._launch(jvm, lock)
        except OSError as error:
            raise not_started("the broker could not be started", str(error)) from error
        finally:
            os.close(lock)  # the guard holds it on
        try:
            self._await_start(logged_bytes)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """End it in order; its data stay for the next start.

        Not while transactions are being committed: Kafka's orderly end of a single node leaves partitions
        without a leader while it still ends transactions, takes them for deleted and skips their markers for
        good ("Couldn't find leader endpoint" in its log). What they hold stays pending after the next start.
        `kill` is safe: what was written lies in the page cache, which outlives the process.
        """
        process, self._held.process = self._held.process, None
        if process is not None:
            process.stop()
            if process.poll() == archive.STOPPED_IN_ORDER:
                archive.keep(self._storage.recorded, self._archive)

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would; its data stay for the next start."""
        process, self._held.process = self._held.process, None
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End it for good: a temporary folder goes with it; data that stay are not put at risk by `stop`."""
        if self._held.scratch is None:
            self.kill()
        else:
            self.stop()
        self._held.let_go()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def _settings(self, log_dir: Path) -> dict[str, str]:
        return broker_properties(self._listeners, self._controller_port, log_dir, self.properties)

    def _log_since(self, logged_bytes: int) -> str:
        return (
            tail(self._storage.console, _LOG_LINES_MAX)
            + "\n"
            + tail(self._storage.log, _LOG_LINES_MAX, logged_bytes)
        )

    def _says_it_started(self, logged_bytes: int) -> bool:
        return _STARTED in tail(self._storage.log, _LOG_LINES_MAX, logged_bytes)

    def _launch(self, jvm: Jvm, lock: int) -> int:
        """Format the folder if need be and start the process; the bytes logged before."""
        settings = self._settings(self._storage.log_dir)
        self._storage.format(settings["node.id"], self._settings, jvm.storage_tool())
        logged_bytes = self._storage.make_ready(settings)
        self._held.process = GuardedProcess(
            jvm.broker(self._storage, self.heap_mib),
            folder=self._storage.run_dir,
            console=self._storage.console,
            scratch=self._held.scratch,
            lock=lock,
        )
        return logged_bytes

    def _await_start(self, logged_bytes: int) -> None:
        """Wait until it says that it started and takes a connection, or for its end, or for the time-out."""
        assert self._held.process is not None
        deadline = monotonic() + self.start_timeout_s
        while not (self._says_it_started(logged_bytes) and tcp.answers(self._listeners[0].port)):
            if (status := self._held.process.poll()) is not None:
                what = f"the broker ended with status {status} instead of starting"
                raise not_started(what, self._log_since(logged_bytes))
            if monotonic() >= deadline:
                what = f"the broker did not start within {self.start_timeout_s:.0f} s"
                raise not_started(what, self._log_since(logged_bytes))
            sleep(_LOOK_AGAIN_S)


class _Held:
    """What must be let go of when the broker's object goes, by `close`, garbage collection or exit."""

    def __init__(self, scratch: Path | None) -> None:
        self.process: GuardedProcess | None = None
        self.scratch = scratch
        self._owner_pid = os.getpid()

    def let_go(self) -> None:
        if os.getpid() != self._owner_pid:
            return  # a forked child has a copy of the object, not the broker
        process, self.process = self.process, None
        if process is not None:
            process.stop()
        if self.scratch is not None:
            shutil.rmtree(self.scratch, ignore_errors=True)


def _with_ports(
    port: int, further: Mapping[str, str], advertised: Mapping[str, int]
) -> tuple[tuple[Listener, ...], int]:
    """The listeners with their ports, clients' first, and the controller's port."""
    securities = {CLIENT_LISTENER: "PLAINTEXT", **further}
    ports: list[int] = [port] if port else []
    while len(ports) < len(securities) + 1:  # ends: free_port gives another port each time, or raises
        ports.append(tcp.free_port(avoid=frozenset({*ports, *advertised.values()})))
    listeners = tuple(
        Listener(name, security, own, advertised.get(name))
        for (name, security), own in zip(securities.items(), ports, strict=False)
    )
    return listeners, ports[-1]
