"""SIGTERM and SIGINT for a loop that waits on file descriptors."""

import contextlib
import os
import signal
from types import FrameType, TracebackType
from typing import Self


class Signals:
    """Records received signals; each one makes `fileno()` readable."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self._read_end, self._write_end = os.pipe()
        for end in (self._read_end, self._write_end):
            os.set_blocking(end, False)

    def fileno(self) -> int:
        return self._read_end

    def clear(self) -> None:
        """Make `fileno()` unreadable until the next signal."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read_end, 4096)

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)

    def _receive(self, number: int, _: FrameType | None) -> None:
        self.received.append(number)
