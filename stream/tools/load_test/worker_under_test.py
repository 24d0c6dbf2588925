"""What is measured: worker processes of our own, started as users start them."""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Self

import psutil

from stream.broker.process import GuardedProcess
from stream.config import Settings
from stream.errors import Fatal
from stream.telemetry.probe import is_ready
from stream.tools.child_environment import child_environment
from stream.tools.load_test.usage import Usage

READY_S_MAX = 120.0  # a predecessor's session may have to end first
SETTLED_S = 6.0  # a member hears of another by a heartbeat, of which there is one each 3 or 5 s
_ASK_S = 0.1
_MEMBER = b'"worker started"'
_MOVES = b'"partitions assigned"', b'"partitions revoked"', b'"partitions lost"'
_SHOWN_LINES = 15


class WorkerUnderTest:
    """`anagram-stream worker`, once or several times, and what it uses.

    Attributes:
        usage: of all its processes, over all starts.
    """

    def __init__(self, settings: Settings, folder: Path, workers: int, arguments: Sequence[str]) -> None:
        self._env = child_environment(settings, STREAM_LOG_FORMAT="json", STREAM_HTTP_PORT="0")
        self._command = [sys.executable, "-m", "stream", "worker", *arguments]
        self._logs = [folder / f"worker-{number}.log" for number in range(workers)]
        self._processes: list[GuardedProcess] = []
        self.usage = Usage(lambda: [process.pid for process in self._processes])

    def start(self) -> None:
        """Start it."""
        for log in self._logs:
            self._processes.append(
                GuardedProcess(self._command, folder=Path.cwd(), console=log, env=self._env)
            )
        if not self.usage.is_alive():
            self.usage.start()

    def wait_ready(self) -> None:
        """Wait until all probes say that they are ready.

        Raises:
            Fatal: one ended, or is not ready in time.
        """
        deadline = monotonic() + READY_S_MAX
        while not all(map(is_ready, self._logs)):
            self.check()
            if monotonic() > deadline:
                raise Fatal(f"the worker was not ready within {READY_S_MAX:.0f} s:\n{self.last_lines()}")
            sleep(_ASK_S)

    def wait_settled(self) -> None:
        """Where there are several members, wait until partitions have not moved between them for a while.

        Raises:
            Fatal: they go on moving, or a process ended.
        """
        deadline = monotonic() + READY_S_MAX
        moves, since = -1, 0.0
        while self.members() > 1:
            self.check()
            if self.moves() != moves:
                moves, since = self.moves(), monotonic()
            if monotonic() - since > SETTLED_S:
                return
            if monotonic() > deadline:
                raise Fatal(f"partitions went on moving for {READY_S_MAX:.0f} s:\n{self.last_lines()}")
            sleep(_ASK_S)

    def members(self) -> int:
        """Return how many worker processes have started, of a supervisor each of its own."""
        return sum(_events(log, _MEMBER) for log in self._logs)

    def moves(self) -> int:
        """Return how often partitions were given or taken so far."""
        return sum(_events(log, *_MOVES) for log in self._logs)

    def check(self) -> None:
        """Raise Fatal if a process ended."""
        for process, log in zip(self._processes, self._logs, strict=False):  # none after a kill
            if (status := process.poll()) is not None:
                raise Fatal(f"the worker ended with status {status}; its last lines:\n{_tail(log)}")

    def kill(self) -> None:
        """Kill -9 every process of it at once."""
        self.usage.look()
        for process in self._processes:
            with contextlib.suppress(psutil.Error):
                for below in psutil.Process(process.pid).children(recursive=True):
                    with contextlib.suppress(psutil.Error):
                        below.kill()
            process.kill()
        self._processes.clear()

    def stop(self) -> None:
        """SIGTERM, and wait until it has drained."""
        self.usage.stop()
        for process in self._processes:
            process.stop()
        self._processes.clear()

    def last_lines(self) -> str:
        """What it said last."""
        return "\n".join(map(_tail, self._logs))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.stop()  # in order, also after an error: who is killed cannot clean up


def _events(log: Path, *names: bytes) -> int:
    """Count the log lines of events."""
    lines = log.read_bytes()
    return sum(map(lines.count, names))


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-_SHOWN_LINES:])
