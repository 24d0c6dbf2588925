"""Runs an orchestrator in its own process, within limits that are enforced from outside."""

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
from typing import IO, Annotated, Self

import psutil
from pydantic import Field, TypeAdapter

from stream.exercise.benchmark.memory import MIB, resident_mib
from stream.exercise.benchmark.messages import (
    CaseEnded,
    CaseOrder,
    NotLoaded,
    OrchestratorOrder,
    Ready,
    Report,
    RunEnded,
    RunStarted,
)
from stream.json_lines import decode_line, encode_line

# -P: no imports from the current folder. This package is imported whether it is installed or not.
_CHILD = (
    f"import sys; sys.path.append({str(Path(__file__).parents[3])!r}); "
    "from stream.exercise.benchmark.child import main; main()"
)
_MEMORY_CHECK_S = 0.02  # a process can exceed the limit for this long
_MEMORY_CHECK_ALL_S = 0.25  # including the processes below it; finding them takes time
_END_S_MAX = 30.0  # an orchestrator with a broker shuts it down cleanly
_BELOW_END_S_MAX = 10.0
_ENDING_S_MAX = 5.0  # from a closed socket to the exit status
_TAIL_BYTES = 4096
_LINE_BYTES_MAX = 256 * MIB
_UNEXPECTED = "its process sent an unexpected message"
_REPORTS: TypeAdapter[Report] = TypeAdapter(Annotated[Report, Field(discriminator="kind")])


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of an orchestrator.

    Attributes:
        run_s: time limit of one run of a case.
        start_s: time limit of loading and construction; the constructor may start a broker.
        memory_mib: limit of the resident memory, including all processes below.
    """

    run_s: float = 60.0
    start_s: float = 180.0
    memory_mib: float = 2048.0


class OrchestratorFailed(Exception):
    """The process cannot continue; the message states why."""


class OrchestratorProcess:
    """The process of one orchestrator: `start`, then `run` cases, then `close` it or leave the `with` block.

    Attributes:
        peak_mib: peak memory since the start of the last case, including all processes below.
    """

    def __init__(self, order: OrchestratorOrder, limits: Limits) -> None:
        self._limits = limits
        self.peak_mib = 0.0
        self._all_checked_at = 0.0
        self._exceeded_memory = False
        self._received = b""
        own_end, child_end = socket.socketpair()
        with child_end:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _CHILD, str(child_end.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(child_end.fileno(),),
                start_new_session=True,  # Ctrl-C in the terminal goes to this process alone
            )
        assert self._process.stdout is not None
        self._output = _OutputTail(self._process.stdout)
        self._stats = psutil.Process(self._process.pid)
        self._channel = own_end
        self._send(order)

    def start(self) -> None:
        """Wait until the orchestrator is constructed.

        Raises:
            OrchestratorFailed: it could not be constructed.
        """
        report = self._receive(monotonic() + self._limits.start_s, f"{self._limits.start_s:g} s to start")
        if isinstance(report, NotLoaded):
            self.close()  # cleanly: its constructor may have started something
            raise OrchestratorFailed(report.why)
        if not isinstance(report, Ready):
            raise OrchestratorFailed(_UNEXPECTED)

    def run(self, order: CaseOrder) -> Iterator[RunEnded | CaseEnded]:
        """Run a case; yield a report at the end of each run, and one at the end of the case.

        Raises:
            OrchestratorFailed: the process exited or exceeded a limit; it runs no more cases.
        """
        self.peak_mib = 0.0
        self._send(order)
        too_long = f"{self._limits.run_s:g} s for a run"
        while True:  # ends: with the case, or at a deadline
            report = self._receive(monotonic() + self._limits.run_s, too_long)
            if isinstance(report, (RunEnded, CaseEnded)):
                yield report
            elif not isinstance(report, RunStarted):
                raise OrchestratorFailed(_UNEXPECTED)
            if isinstance(report, CaseEnded):
                return

    def close(self) -> None:
        """Shut down the process and those that it started; kill those that take too long."""
        below = self._below()
        self._channel.close()  # the process exits when its socket is closed
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S_MAX)
        self._end(below)

    def kill(self) -> None:
        """Kill the process at once; if it started processes, give it time to shut them down."""
        below = self._below()
        self._channel.close()
        if below and not self._exceeded_memory:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_S_MAX)
        self._end(below)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.kill()

    def _below(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            return self._stats.children(recursive=True)
        return []

    def _end(self, below: list[psutil.Process]) -> None:
        self._process.kill()
        self._process.wait()
        _, left = psutil.wait_procs(below, _BELOW_END_S_MAX)  # guards stop children of a dead parent
        for each in left:
            with contextlib.suppress(psutil.Error):
                each.kill()
        self._output.close()

    def _send(self, order: OrchestratorOrder | CaseOrder) -> None:
        with contextlib.suppress(OSError):  # the process has exited; the next `_receive` reports how
            self._channel.settimeout(self._limits.run_s)
            self._channel.sendall(encode_line(order))

    def _receive(self, deadline: float, too_long: str) -> Report:
        line = self._receive_line(deadline, too_long)
        try:
            return decode_line(line, _REPORTS)
        except ValueError as error:
            raise OrchestratorFailed(_UNEXPECTED) from error

    def _receive_line(self, deadline: float, too_long: str) -> bytes:
        self._channel.settimeout(_MEMORY_CHECK_S)
        parts = [self._received]
        while b"\n" not in parts[-1]:
            self._check_memory()
            if monotonic() >= deadline:
                raise OrchestratorFailed(f"it took longer than {too_long}")
            try:
                part = self._channel.recv(MIB)
            except TimeoutError:
                continue
            except OSError:
                part = b""
            if not part:
                raise OrchestratorFailed(self._how_it_ended())
            parts.append(part)
            if sum(map(len, parts)) > _LINE_BYTES_MAX:
                raise OrchestratorFailed(_UNEXPECTED)
        line, _, self._received = b"".join(parts).partition(b"\n")
        return line

    def _check_memory(self) -> None:
        """Measure the memory; raise OrchestratorFailed if it exceeds the limit."""
        with contextlib.suppress(psutil.Error):
            memory_mib = self._stats.memory_info().rss / MIB
            if monotonic() >= self._all_checked_at + _MEMORY_CHECK_ALL_S:
                memory_mib = resident_mib(self._stats)
                self._all_checked_at = monotonic()
            self.peak_mib = max(self.peak_mib, memory_mib)
            if memory_mib > self._limits.memory_mib:
                self._exceeded_memory = True
                raise OrchestratorFailed(f"it used more than {self._limits.memory_mib:g} MiB of memory")

    def _how_it_ended(self) -> str:
        try:
            status = self._process.wait(_ENDING_S_MAX)
        except subprocess.TimeoutExpired:
            return "it closed the socket of the benchmark"
        if status < 0:
            return f"its process was killed by {signal.Signals(-status).name}"
        last_line = self._output.last_line()
        return f"its process exited with status {status}" + (f": {last_line}" if last_line else "")


class _OutputTail:
    """Reads all output of a process and keeps its end."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._kept = b""
        self._thread = threading.Thread(target=self._read, daemon=True, name="output")
        self._thread.start()

    def last_line(self) -> str:
        """Return the last line of the output that is not empty."""
        self._thread.join(1)
        lines = self._kept.decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def close(self) -> None:
        """Close the pipe, unless a process that outlived its parent still has the other end open."""
        self._thread.join(1)
        if not self._thread.is_alive():
            self._pipe.close()

    def _read(self) -> None:
        while part := self._pipe.read1(65536):  # type: ignore[attr-defined]
            self._kept = (self._kept + part)[-_TAIL_BYTES:]
