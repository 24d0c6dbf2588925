"""Reads single keys from a terminal while something else is shown."""

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def keys() -> Iterator["Keys"]:
    """Deliver keys as they are pressed; Ctrl-C stays a signal. Without a terminal there are none."""
    if not sys.stdin.isatty():
        yield Keys(None)
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        yield Keys(terminal)
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


class Keys:
    """The keys of a terminal."""

    def __init__(self, terminal: int | None) -> None:
        self._terminal = terminal

    def wait(self, seconds: float) -> str:
        """Return the next key; after `seconds` without one, an empty string."""
        waiting = [] if self._terminal is None else [self._terminal]
        ready, _, _ = select.select(waiting, [], [], seconds)
        if not ready or self._terminal is None:
            return ""
        return os.read(self._terminal, 64).decode(errors="ignore")
