"""Reads single key presses from a terminal that shows something else."""

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def keys() -> Iterator["Keys"]:
    """Yield the keys that are pressed; Ctrl-C remains a signal. Without a terminal, no key arrives."""
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
    """The key presses on a terminal."""

    def __init__(self, terminal: int | None) -> None:
        self._terminal = terminal

    def wait(self, seconds: float) -> str:
        """Return the next key, or an empty string if none is pressed within `seconds`."""
        waiting = [] if self._terminal is None else [self._terminal]
        ready, _, _ = select.select(waiting, [], [], seconds)
        if not ready or self._terminal is None:
            return ""
        return os.read(self._terminal, 64).decode(errors="ignore")
