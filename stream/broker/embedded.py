"""Runs Apache Kafka as a child process: one node (broker and controller) on the loopback interface."""

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

from stream.broker import archive, jars, runtime, tcp
from stream.broker.failure import not_started, tail
from stream.broker.fetch import cache_dir
from stream.broker.jvm import Jvm
from stream.broker.process import GuardedProcess
from stream.broker.properties import CLIENT_LISTENER, Listener, broker_properties
from stream.broker.storage import Storage
from stream.errors import Misconfigured

_POLL_INTERVAL_S = 0.05
_STARTED = "Kafka Server started"  # logged once the broker is registered and accepts requests
_TAIL_LINES = 30
_LOG_LINES_MAX = 10_000  # read from the log of a failed start


@dataclass(kw_only=True, eq=False)
class EmbeddedBroker:
    """A Kafka broker that lives as long as this object and never outlives this process.

    Ports and data stay the same over every stop, kill and start. `close`, or leaving the `with` block, ends
    the broker for good and deletes its data unless a `data_dir` was given.

    Attributes:
        port: the port of the broker; 0 takes any free port.
        data_dir: the folder for its data; by default a temporary folder.
        kafka: the version of Kafka; those with a list in `stream/broker/jars/`.
        java: a java binary or the home of a JRE (the setting STREAM_JAVA).
        properties: Kafka properties that override the defaults of this module.
        listeners: additional listeners, name to security protocol, each on a free port; see `address`.
        advertised: name of an additional listener to the port that is advertised to clients (of a proxy).
        heap_mib: heap size of the JVM.
        start_timeout_s: time limit of a start, without downloads.

    Raises:
        Misconfigured: the system is Windows, the port is taken, the version of Kafka is not known, or a
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
        self._listeners, self._controller_port = _with_ports(self.port, self.listeners, self.advertised)
        folder = self.data_dir or Path(tempfile.mkdtemp(prefix="anagram-stream-broker-"))
        self._resources = _Resources(None if self.data_dir else folder)
        weakref.finalize(self, self._resources.release)
        self._storage = Storage(folder, self.kafka)
        self._settings(self._storage.log_dir)  # a forbidden property is refused here, before any download

    @property
    def bootstrap_servers(self) -> str:
        """The value of `bootstrap.servers` for clients."""
        return self.address(CLIENT_LISTENER)

    @property
    def pid(self) -> int | None:
        """The process id of the broker, or None if it does not run."""
        running = self._resources.process
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
        """Download what is missing, format a new folder, start the broker, and return when it answers.

        Raises:
            Misconfigured: java, a port, the folder or a property is wrong.
            Refused: a download failed, the folder is in use, or the broker did not start for a cause that
                its log names.
            Fatal: the broker did not start for another cause.
        """
        assert self.pid is None, "the broker is already running"
        self.kill()  # remainders of the last run after a crash
        kafka_runtime = runtime.prepare(self.java, self.kafka)
        self._archive = archive.path(kafka_runtime, cache_dir())
        jvm = Jvm(kafka_runtime, self._archive)
        for port in (self._controller_port, *(listener.port for listener in self._listeners)):
            tcp.check_free(port)
        lock = self._storage.lock()
        try:
            logged_bytes = self._launch(jvm, lock)
        except OSError as error:
            raise not_started("the broker could not be started", str(error)) from error
        finally:
            os.close(lock)  # the guard keeps its own copy
        try:
            self._await_start(logged_bytes)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """Shut the broker down cleanly; its data stay for the next start.

        Do not call it while transactions are being committed. During the clean shutdown of a single node,
        partitions have no leader while Kafka still ends transactions; it takes them for deleted and skips
        their markers for good ("Couldn't find leader endpoint" in its log). Those transactions stay pending
        after the next start. `kill` is safe: written data are in the page cache, which outlives the process.
        """
        process, self._resources.process = self._resources.process, None
        if process is not None:
            process.stop()
            if process.poll() == archive.CLEAN_SHUTDOWN:
                archive.keep(self._storage.recorded, self._archive)

    def kill(self) -> None:
        """End the broker with SIGKILL, like a crash; its data stay for the next start."""
        process, self._resources.process = self._resources.process, None
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End the broker for good and delete a temporary folder. A given folder is not risked with `stop`."""
        if self._resources.scratch is None:
            self.kill()
        else:
            self.stop()
        self._resources.release()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
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

    def _has_logged_start(self, logged_bytes: int) -> bool:
        return _STARTED in tail(self._storage.log, _LOG_LINES_MAX, logged_bytes)

    def _launch(self, jvm: Jvm, lock: int) -> int:
        """Format a new folder and start the process; return the size of the log in bytes before the start."""
        settings = self._settings(self._storage.log_dir)
        self._storage.format(settings["node.id"], self._settings, jvm.storage_tool())
        logged_bytes = self._storage.prepare(settings)
        self._resources.process = GuardedProcess(
            jvm.broker(self._storage, self.heap_mib),
            folder=self._storage.run_dir,
            console=self._storage.console,
            scratch=self._resources.scratch,
            lock=lock,
        )
        return logged_bytes

    def _await_start(self, logged_bytes: int) -> None:
        """Wait until the broker has logged its start and accepts connections.

        Raises:
            StreamError: the broker ended, or the time limit is exceeded.
        """
        assert self._resources.process is not None
        deadline = monotonic() + self.start_timeout_s
        while not (self._has_logged_start(logged_bytes) and tcp.answers(self._listeners[0].port)):
            if (status := self._resources.process.poll()) is not None:
                what = f"the broker ended with status {status} instead of starting"
                raise not_started(what, self._log_since(logged_bytes))
            if monotonic() >= deadline:
                what = f"the broker did not start within {self.start_timeout_s:.0f} s"
                raise not_started(what, self._log_since(logged_bytes))
            sleep(_POLL_INTERVAL_S)


class _Resources:
    """What is released when the broker object ends, by `close`, garbage collection or exit."""

    def __init__(self, scratch: Path | None) -> None:
        self.process: GuardedProcess | None = None
        self.scratch = scratch
        self._owner_pid = os.getpid()

    def release(self) -> None:
        if os.getpid() != self._owner_pid:
            return  # a forked child has a copy of the object but does not own the broker
        process, self.process = self.process, None
        if process is not None:
            process.stop()
        if self.scratch is not None:
            shutil.rmtree(self.scratch, ignore_errors=True)


def _with_ports(
    port: int, additional: Mapping[str, str], advertised: Mapping[str, int]
) -> tuple[tuple[Listener, ...], int]:
    """Return the listeners with their ports, the client listener first, and the controller port."""
    securities = {CLIENT_LISTENER: "PLAINTEXT", **additional}
    ports: list[int] = [port] if port else []
    while len(ports) < len(securities) + 1:  # ends: free_port returns a new port each time, or raises
        ports.append(tcp.free_port(avoid=frozenset({*ports, *advertised.values()})))
    listeners = tuple(
        Listener(name, security, own, advertised.get(name))
        for (name, security), own in zip(securities.items(), ports, strict=False)
    )
    return listeners, ports[-1]
