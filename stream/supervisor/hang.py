"""Ends a process whose loop hangs within the client library, so that its work continues.

The thread that hangs handles no signal and cannot be stopped. Under a supervisor the worker exits, and the
supervisor restarts it. Without a supervisor the worker restarts in place, as the same process, which keeps a
container running.
"""

import contextlib
import os
import signal
import sys
import threading
from types import FrameType

import structlog

from stream.worker.clock import SystemClock

_log = structlog.get_logger()


def exit_after_hang() -> None:
    """End a worker process; its supervisor starts another one."""
    _log.critical("worker failed", error="its loop hangs", fix="none needed: the supervisor restarts it")
    os._exit(1)


class SingleProcess:
    """A worker without a supervisor: its clock stops at a signal, and it restarts after a hang.

    A thread counts the signals: the interpreter calls no handler while the main thread hangs in C.
    """

    def __init__(self) -> None:
        self.clock = SystemClock()
        self._received = 0
        self._read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _wait_for_thread)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        threading.Thread(target=self._count_signals, name="signals", daemon=True).start()

    def start_again(self) -> None:
        """Replace this process with a new worker, or exit if a signal asked it to stop."""
        if self._received:
            _log.critical("worker failed", error="its loop hangs while it stops", fix="none needed")
            os._exit(1)
        _log.critical("worker failed", error="its loop hangs", fix="none needed: it restarts")
        with contextlib.suppress(OSError):
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - the same command
        os._exit(1)

    def _count_signals(self) -> None:
        while number := os.read(self._read_end, 1)[0]:
            self._received += 1
            if self._received > 1:
                os._exit(128 + number)  # the next worker or the broker aborts an open transaction
            self.clock.stop()


def _wait_for_thread(_: int, _frame: FrameType | None) -> None:
    """Do nothing: without a handler the signal would end the process before the thread reads it."""
