"""An orchestrator in a process of its own, watched from outside."""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import IO, Self

import psutil

from stream.exercise.benchmark.memory import MIB, held_mib
from stream.exercise.benchmark.messages import (
    Began,
    CaseDone,
    Job,
    NotLoaded,
    Order,
    Ran,
    Ready,
    Said,
    order_line,
    read_said,
)  # fmt: skip

# Whatever lies in the current folder is not imported (-P); but this very package is, installed or not.
_CHILD = (
    f"import sys; sys.path.append({str(Path(__file__).parents[3])!r}); "
    "from stream.exercise.benchmark.child import main; main()"
)
_LOOK_S = 0.02  # a process that eats memory gets that far between two looks
_LOOK_BELOW_S = 0.25  # at the processes below it: finding them takes time
_END_S_MAX = 30.0  # a contestant with a broker stops it in order
_BELOW_END_S_MAX = 10.0
_ENDING_S_MAX = 5.0  # from a closed channel to the exit status
_TAIL_BYTES = 4096
_LINE_BYTES_MAX = 256 * MIB


@dataclass(frozen=True, slots=True)
class Limits:
    """What a contestant may take.

    Attributes:
        run_s: one run of a case.
        start_s: loading and its constructor, which may start a broker.
        memory_mib: resident, with all processes below it.
    """

    run_s: float = 60.0
    start_s: float = 180.0
    memory_mib: float = 2048.0


class Broken(Exception):
    """The process is of no more use; says why."""


class Isolated:
    """One contestant's process: `start`, then `run` cases, then `close` it, or leave the `with` block.

    Attributes:
        peak_mib: the most memory seen with all processes below it, since the last case began.
    """

    def __init__(self, job: Job, limits: Limits) -> None:
        self._limits = limits
        self.peak_mib = 0.0
        self._looked_below = 0.0
        self._is_greedy = False
        self._received = b""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _CHILD, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # a Ctrl-C in the terminal is ours to handle
            )
        assert self._process.stdout is not None
        self._tail = _Tail(self._process.stdout)
        self._seen = psutil.Process(self._process.pid)
        self._channel = ours
        self._tell(job)

    def start(self) -> None:
        """Wait until the orchestrator is made.

        Raises:
            Broken: it cannot be.
        """
        said = self._next(monotonic() + self._limits.start_s, f"{self._limits.start_s:g} s to be made")
        if isinstance(said, NotLoaded):
            self.close()  # in order: its constructor may have started something
            raise Broken(said.why)
        if not isinstance(said, Ready):
            raise Broken("its process said what is not ours")

    def run(self, order: Order) -> Iterator[Ran | CaseDone]:
        """Run a case; yield each run as it ends, and the case.

        Raises:
            Broken: it ended, took too long or too much memory: there is no more to come.
        """
        self.peak_mib = 0.0
        self._tell(order)
        too_long = f"{self._limits.run_s:g} s for a run"
        while True:  # ends: the case does, or a deadline is met
            said = self._next(monotonic() + self._limits.run_s, too_long)
            if isinstance(said, (Ran, CaseDone)):
                yield said
            elif not isinstance(said, Began):
                raise Broken("its process said what is not ours")
            if isinstance(said, CaseDone):
                return

    def close(self) -> None:
        """End it in order, with what it started; by force what is slow."""
        below = self._below()
        self._channel.close()  # no more orders: it leaves
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S_MAX)
        self._end(below)

    def kill(self) -> None:
        """End it at once; where it started processes of its own, with time to end them in order."""
        below = self._below()
        self._channel.close()
        if below and not self._is_greedy:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_S_MAX)
        self._end(below)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.kill()

    def _below(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            return self._seen.children(recursive=True)
        return []

    def _end(self, below: list[psutil.Process]) -> None:
        self._process.kill()
        self._process.wait()
        _, left = psutil.wait_procs(below, _BELOW_END_S_MAX)  # guards end what they guard when we are gone
        for each in left:
            with contextlib.suppress(psutil.Error):
                each.kill()
        self._tail.close()

    def _tell(self, order: Job | Order) -> None:
        with contextlib.suppress(OSError):  # it has ended: the next reading says how
            self._channel.settimeout(self._limits.run_s)
            self._channel.sendall(order_line(order))

    def _next(self, deadline: float, too_long: str) -> Said:
        line = self._line(deadline, too_long)
        try:
            return read_said(line)
        except ValueError as error:
            raise Broken("its process said what is not ours") from error

    def _line(self, deadline: float, too_long: str) -> bytes:
        self._channel.settimeout(_LOOK_S)
        parts = [self._received]
        while b"\n" not in parts[-1]:
            self._watch()
            if monotonic() >= deadline:
                raise Broken(f"it took longer than {too_long}")
            try:
                part = self._channel.recv(MIB)
            except TimeoutError:
                continue
            except OSError:
                part = b""
            if not part:
                raise Broken(self._how_it_ended())
            parts.append(part)
            if sum(map(len, parts)) > _LINE_BYTES_MAX:
                raise Broken("its process said what is not ours")
        line, _, self._received = b"".join(parts).partition(b"\n")
        return line

    def _watch(self) -> None:
        """Take its memory's measure, and stop it when that is too much."""
        with contextlib.suppress(psutil.Error):
            held = self._seen.memory_info().rss / MIB
            if monotonic() >= self._looked_below + _LOOK_BELOW_S:
                held = held_mib(self._seen)
                self._looked_below = monotonic()
            self.peak_mib = max(self.peak_mib, held)
            if held > self._limits.memory_mib:
                self._is_greedy = True
                raise Broken(f"it took more than {self._limits.memory_mib:g} MiB of memory")

    def _how_it_ended(self) -> str:
        try:
            status = self._process.wait(_ENDING_S_MAX)
        except subprocess.TimeoutExpired:
            return "it closed what it is measured by"
        if status < 0:
            return f"its process was ended by {signal.Signals(-status).name}"
        said = self._tail.last_line()
        return f"its process ended with status {status}" + (f": {said}" if said else "")


class _Tail:
    """Takes all that is printed, and keeps the end of it."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._kept = b""
        self._thread = threading.Thread(target=self._read, daemon=True, name="printed")
        self._thread.start()

    def last_line(self) -> str:
        """Return the last line, once all was read."""
        self._thread.join(1)
        lines = self._kept.decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def close(self) -> None:
        """Let go of the pipe, unless somebody who outlived its starter still holds the other end."""
        self._thread.join(1)
        if not self._thread.is_alive():
            self._pipe.close()

    def _read(self) -> None:
        while part := self._pipe.read1(65536):  # type: ignore[attr-defined]
            self._kept = (self._kept + part)[-_TAIL_BYTES:]
