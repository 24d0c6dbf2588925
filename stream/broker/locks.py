"""Locks between processes; a lock is released when the process that holds it ends."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from stream.errors import Refused

if sys.platform != "win32":
    import fcntl

_WAIT_S_MAX = 900.0  # another process may be downloading on a slow network
_POLL_INTERVAL_S = 0.2


def try_lock(path: Path) -> int | None:
    """Return an open, locked descriptor, or None if another process holds the lock.

    The lock belongs to the open file: a child that inherits the descriptor keeps the lock.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def locked(path: Path, when_waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock; if it is taken, call `when_waiting` once and wait for it.

    Raises:
        Refused: the lock stays taken for longer than any download takes.
    """
    deadline = monotonic() + _WAIT_S_MAX
    if (descriptor := try_lock(path)) is None:
        when_waiting()
    while descriptor is None:  # terminates: the lock is acquired, or the deadline passes
        if monotonic() >= deadline:
            raise Refused(
                f"{path} has been locked for {_WAIT_S_MAX:.0f} s",
                f"stop the process that holds the lock: `fuser {path}` shows its id",
            )
        sleep(_POLL_INTERVAL_S)
        descriptor = try_lock(path)
    try:
        yield
    finally:
        os.close(descriptor)
