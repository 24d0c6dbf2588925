"""SIGTERM and SIGINT for a loop that waits on file descriptors."""

import contextlib
import os
import signal
from types import FrameType, TracebackType
from typing import Self


class Signals:
    """Keeps what came; each makes `fileno()` ready."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self._read, self._write = os.pipe()
        for end in (self._read, self._write):
            os.set_blocking(end, False)

    def fileno(self) -> int:
        """Return what a wait ends for."""
        return self._read

    def seen(self) -> None:
        """Be ready for the next."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 4096)

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)

    def _receive(self, number: int, _: FrameType | None) -> None:
        self.received.append(number)
