"""Forked child processes of a supervisor. They share its memory, report how they exited and die with it."""

import contextlib
import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from typing import Self

from stream.errors import Fatal, Misconfigured, Refused, StreamError
from stream.worker.clock import SystemClock

FORK = multiprocessing.get_context("fork")
ORPHAN_S_MAX = 10.0  # a worker whose supervisor died drains within this time, or exits
_PR_SET_PDEATHSIG = 1
_SIGNALS = {signal.SIGTERM, signal.SIGINT}

Task = Callable[[SystemClock], int]


@dataclass(frozen=True, slots=True)
class Failure:
    """A StreamError that ended a task, in a form that can be sent to the supervisor.

    Attributes:
        hint: what fixes the error, or "".
        is_misconfigured: wrong settings or usage, which have their own exit status.
        stops_all: whether the error would affect the other processes as well.
    """

    text: str
    hint: str
    is_misconfigured: bool
    stops_all: bool

    @property
    def is_final(self) -> bool:
        """Whether the error would recur after a restart; an error without a hint may be temporary."""
        return self.stops_all or bool(self.hint)

    def error(self, process_name: str) -> Fatal:
        """Return the error for the user."""
        text = f"{process_name}: {self.text}" if process_name else self.text
        if self.is_misconfigured:
            return Misconfigured(text, self.hint)
        return Refused(text, self.hint) if self.hint else Fatal(text)

    @classmethod
    def of(cls, error: StreamError) -> Self:
        return cls(
            str(error),
            getattr(error, "hint", ""),
            isinstance(error, Misconfigured),
            isinstance(error, (Misconfigured, Refused)),
        )


@dataclass(frozen=True, slots=True)
class ExitReport:
    """How a process ended.

    Attributes:
        status: its exit status; -n after signal n.
        value: what its task returned; 0 if the task did not return.
        failure: the StreamError that the task raised.
    """

    status: int
    value: int = 0
    failure: Failure | None = None

    def __str__(self) -> str:
        if self.status >= 0:
            return f"exit status {self.status}"
        names = {number.value: number.name for number in signal.Signals}
        return f"killed by {names.get(-self.status, f'signal {-self.status}')}"


class ParentDeathPipe:
    """Notifies children that the supervisor died: only the supervisor holds the write end of this pipe."""

    def __init__(self, clean_up: Callable[[], None]) -> None:
        """A child calls `clean_up` on behalf of a supervisor that died."""
        self._clean_up = clean_up
        self._read_end, self._write_end = os.pipe()

    def watch(self, on_death: Callable[[], None]) -> None:
        """In a child: call `on_death` from a new thread when the supervisor has died."""
        os.close(self._write_end)

        def wait() -> None:
            os.read(self._read_end, 1)
            self._clean_up()
            on_death()

        threading.Thread(target=wait, name="parent-death", daemon=True).start()


class Child:
    """A process that runs one task; SIGTERM and SIGINT stop the task's clock.

    A child treats any number of signals as one, because a terminal and systemd signal all processes. Only the
    supervisor can tell which signal is the second one; then it kills the children.
    """

    def __init__(
        self, name: str, task: Task, parent_death: ParentDeathPipe, orphan_s_max: float = 0.0
    ) -> None:
        """`orphan_s_max`: how long the child may drain after its supervisor died, in seconds."""
        assert threading.active_count() == 1, "a fork copies the locks of other threads, but not the threads"
        self._report, report = FORK.Pipe(duplex=False)
        self._process = ForkProcess(
            target=_run_child,
            args=(task, report, parent_death, os.getpid(), orphan_s_max),
            name=name,
            daemon=True,
        )
        gc.freeze()  # a collection in the child then does not write to shared memory, which copies it
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # until the child has its own handlers
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        report.close()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    @property
    def sentinel(self) -> int:
        """File descriptor that becomes ready when the process ends."""
        return self._process.sentinel

    def exit_report(self) -> ExitReport | None:
        """Return how the process ended; None while it runs."""
        status = self._process.exitcode
        if status is None:
            return None
        value, failure = 0, None
        with contextlib.suppress(EOFError):  # the process died before it could report
            if self._report.poll():
                value, failure = self._report.recv()
        return ExitReport(status, value, failure)

    def stop(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL, wait for the exit and release the process; may be called after the exit."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self._report.close()


def _run_child(
    task: Task, report: Connection, parent_death: ParentDeathPipe, parent_pid: int, orphan_s_max: float
) -> None:
    clock = SystemClock()

    def stop(*_: object) -> None:
        clock.stop()

    def end() -> None:
        clock.stop()
        time.sleep(orphan_s_max)
        os._exit(1)

    signal.set_wakeup_fd(-1)
    for number in _SIGNALS:
        signal.signal(number, stop)
    parent_death.watch(end)
    _request_parent_death_signal(signal.SIGTERM if orphan_s_max else signal.SIGKILL, parent_pid)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    try:
        value = task(clock)
    except StreamError as error:
        failure = Failure.of(error)
        report.send((0, failure))
        sys.exit(2 if failure.is_misconfigured else 1)
    report.send((value, None))


def _request_parent_death_signal(number: signal.Signals, parent_pid: int) -> None:
    """Let Linux signal this process when its parent dies: faster than the pipe, and without a thread."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent_pid:  # the parent died before the call
            os._exit(1)
