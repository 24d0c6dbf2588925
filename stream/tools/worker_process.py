"""`anagram-stream worker` as a child process: for demo, load test, chaos campaign and tests."""

import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Protocol, Self
from urllib.request import urlopen

import orjson
import psutil

from stream.broker.process import GuardedProcess
from stream.errors import Fatal

COMMAND = ("-m", "stream", "worker")
READY_S_MAX = 120.0  # the session of a predecessor may have to expire first
_POLL_S = 0.1
_LAST_LINES = 15


class ChildProcess(Protocol):
    """A started process; `kill` and `stop` return once it has exited."""

    pid: int

    def poll(self) -> int | None: ...
    def kill(self) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...


class Launch(Protocol):
    """Starts a process whose output goes to `console`."""

    def __call__(
        self, command: Sequence[str], *, folder: Path, console: Path, env: Mapping[str, str]
    ) -> ChildProcess: ...


class WorkerProcess:
    """Runs a worker as users do, one process after the other; the log lines are JSON.

    Attributes:
        command: arguments of the Python interpreter.
        log: file of the log lines.
    """

    def __init__(  # noqa: PLR0913 - what a child process needs
        self,
        env: Mapping[str, str],
        log: Path,
        *,
        command: Sequence[str] = COMMAND,
        folder: Path | None = None,
        console: Path | None = None,
        launch: Launch = GuardedProcess,
    ) -> None:
        """Prepare the worker; `start` starts a process.

        Args:
            env: the whole environment of the process.
            log: file of the log lines.
            command: arguments of the Python interpreter.
            folder: working directory of the process; None: that of this process.
            console: a pipe that takes the output, if the caller reads it and writes `log`; None: the log.
            launch: starts the process; by default, it exits at the latest when this process exits.
        """
        self.command = command
        self.log = log
        self._env = {**env, "STREAM_LOG_FORMAT": "json"}
        self._folder = folder
        self._console = console or log
        self._launch = launch
        self._process: ChildProcess | None = None

    def start(self) -> Self:
        """Start a process.

        Raises:
            Fatal: the process could not be started.
        """
        self._process = self._launch(
            [sys.executable, *self.command],
            folder=self._folder or Path.cwd(),
            console=self._console,
            env=self._env,
        )
        return self

    @property
    def pid(self) -> int | None:
        """The process id; None before a start, and after `kill`, `stop` and `close`."""
        process = self._process  # another thread may call this
        return None if process is None else process.pid

    @property
    def status(self) -> int | None:
        """The exit status of a process that exited by itself; None if it runs or was stopped from here."""
        return None if self._process is None else self._process.poll()

    @property
    def is_running(self) -> bool:
        """Whether the process exists, even if it is stopped by SIGSTOP."""
        return self._process is not None and self._process.poll() is None

    def check(self) -> None:
        """Raise Fatal with the last log lines if the process exited by itself."""
        if (status := self.status) is not None:
            raise Fatal(f"the worker exited with status {status}; its last lines:\n{self.last_lines()}")

    def wait_ready(self, seconds: float = READY_S_MAX) -> None:
        """Wait until the worker's probe reports that it is ready.

        Raises:
            Fatal: the worker exited, or is not ready within `seconds`.
        """
        wait_all_ready([self], seconds)

    def events(self, *names: str) -> list[dict[str, Any]]:
        """Return the log lines of these events."""
        entries = []
        for line in self._log_bytes().splitlines(keepends=True):
            if line.startswith(b"{") and line.endswith(b"\n"):  # the last line may be incomplete
                entry = orjson.loads(line)
                if entry["event"] in names:
                    entries.append(entry)
        return entries

    def last_lines(self) -> str:
        """Return the end of the log."""
        return "\n".join(self._log_bytes().decode(errors="replace").splitlines()[-_LAST_LINES:])

    def processes(self) -> list[psutil.Process]:
        """Return the process and all processes below it."""
        if (pid := self.pid) is not None:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                return [process, *process.children(recursive=True)]
        return []

    def kill(self) -> None:
        """Kill -9 the process and wait; the processes below a supervisor notice it and exit by themselves."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def kill_all(self) -> None:
        """Kill -9 the process and all processes below it at once, and wait for the process."""
        for below in self.processes()[1:]:
            with contextlib.suppress(psutil.Error):
                below.kill()
        self.kill()

    def stop(self) -> int | None:
        """Send SIGTERM, wait until the worker has drained, and return the exit status; None if none runs."""
        if (process := self._process) is None:
            return None
        process.stop()
        self._process = None
        return process.poll()

    def close(self) -> None:
        """Release the pipes of a process that exited by itself."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def _log_bytes(self) -> bytes:
        return self.log.read_bytes() if self.log.exists() else b""


def wait_all_ready(workers: Sequence[WorkerProcess], seconds: float = READY_S_MAX) -> None:
    """Wait until the probes of all workers report that they are ready.

    Raises:
        Fatal: a worker exited, or is not ready within `seconds`.
    """
    deadline = monotonic() + seconds
    while not all(is_ready(worker.log) for worker in workers):
        for worker in workers:
            worker.check()
        if monotonic() > deadline:
            last_lines = "\n".join(worker.last_lines() for worker in workers)
            raise Fatal(f"the worker was not ready within {seconds:.0f} s; its last lines:\n{last_lines}")
        sleep(_POLL_S)


def is_ready(log: Path) -> bool:
    """Return whether a worker on this machine is ready; its log lines are JSON. False if it is starting."""
    lines = log.read_bytes().splitlines()
    entries = [orjson.loads(line) for line in lines if line.startswith(b"{") and line.endswith(b"}")]
    address = next((entry["address"] for entry in entries if _has_address(entry)), None)
    if address is None:
        return False
    try:
        with urlopen(f"{address}/healthz/ready", timeout=5):  # noqa: S310 - our own child process
            return True
    except OSError:  # 503: not ready
        return False


def _has_address(entry: Mapping[str, Any]) -> bool:
    """Whether a log line has the address of the probes; the private ones of a process are excluded."""
    return entry.get("event") == "telemetry listens" and "process" not in entry
