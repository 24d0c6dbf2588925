"""Forked processes of a supervisor: they share its memory, tell it how they ended, and die with it."""

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

from stream.errors import Misconfigured, StreamError
from stream.worker.clock import SystemClock

FORK = multiprocessing.get_context("fork")
ORPHAN_S_MAX = 10.0  # a worker whose supervisor is gone has drained by then, or ends without
_PR_SET_PDEATHSIG = 1
_SIGNALS = {signal.SIGTERM, signal.SIGINT}

Work = Callable[[SystemClock], int]


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that a process raised on purpose.

    Attributes:
        hint: what fixes it, or nothing.
        is_misconfigured: wrong settings or usage, which has an exit status of its own.
    """

    text: str
    hint: str
    is_misconfigured: bool


@dataclass(frozen=True, slots=True)
class End:
    """How a process ended.

    Attributes:
        status: its exit status; -n after signal n.
        answer: what its work returned, 0 where it did not.
        failure: the error it raised on purpose.
    """

    status: int
    answer: int = 0
    failure: Failure | None = None

    def __str__(self) -> str:
        if self.status >= 0:
            return f"exit status {self.status}"
        names = {number.value: number.name for number in signal.Signals}
        return f"killed by {names.get(-self.status, f'signal {-self.status}')}"


class ParentDeathPipe:
    """A pipe with an end that the supervisor alone holds: when it closes, the supervisor is gone."""

    def __init__(self, bury: Callable[[], None]) -> None:
        """`bury`: what a child does in its place then."""
        self._bury = bury
        self._watched, self._held = os.pipe()

    def watch(self, gone: Callable[[], None]) -> None:
        """Call `gone` in a thread of this process, a child, once the supervisor is gone."""
        os.close(self._held)

        def wait() -> None:
            os.read(self._watched, 1)
            self._bury()
            gone()

        threading.Thread(target=wait, name="tie", daemon=True).start()


class Child:
    """A process that does some work; a signal asks it, by way of its clock, to come to an end.

    It hears SIGTERM and SIGINT as often as anybody sends them (a terminal and systemd signal all processes at
    once); only the supervisor knows which is the second, and kills.
    """

    def __init__(self, name: str, work: Work, tie: ParentDeathPipe, orphan_s_max: float = 0.0) -> None:
        """`orphan_s_max`: how long it may go on without its supervisor, to drain."""
        assert threading.active_count() == 1, "a fork takes the locks of other threads along, and not them"
        self._report, report = FORK.Pipe(duplex=False)
        self._process = ForkProcess(
            target=_live, args=(work, report, tie, os.getpid(), orphan_s_max), name=name, daemon=True
        )
        gc.freeze()  # a collection in a child does not touch, and so copy, what it shares
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # until the child has handlers of its own
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        report.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid or 0

    @property
    def sentinel(self) -> int:
        """What becomes ready when it ends."""
        return self._process.sentinel

    def end(self) -> End | None:
        """Return how it ended; None while it runs."""
        status = self._process.exitcode
        if status is None:
            return None
        answer, failure = 0, None
        with contextlib.suppress(EOFError):  # it died without a word
            if self._report.poll():
                answer, failure = self._report.recv()
        return End(status, answer, failure)

    def stop(self) -> None:
        """Ask it to come to an end."""
        self._process.terminate()

    def kill(self) -> None:
        """Kill -9, and wait; one that has ended is let go of."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self._report.close()


def _live(work: Work, report: Connection, tie: ParentDeathPipe, parent: int, orphan_s_max: float) -> None:
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
    tie.watch(end)
    _hear_of_death(signal.SIGTERM if orphan_s_max else signal.SIGKILL, parent)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    try:
        answer = work(clock)
    except StreamError as error:
        failure = Failure(str(error), getattr(error, "hint", ""), isinstance(error, Misconfigured))
        report.send((0, failure))
        sys.exit(2 if failure.is_misconfigured else 1)
    report.send((answer, None))


def _hear_of_death(number: signal.Signals, parent: int) -> None:
    """Let Linux send us a signal when our parent dies: sooner than the tie, and whatever our threads do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it died before
            os._exit(1)
