"""Locks between processes, which end with the process that holds them."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from stream.errors import Refused

if sys.platform != "win32":
    import fcntl

_WAIT_S_MAX = 900.0  # another process may be fetching over a slow line
_LOOK_AGAIN_S = 0.2


def try_lock(path: Path) -> int | None:
    """An open, locked descriptor; None when somebody else holds the lock.

    The lock belongs to the open file: a child that inherits the descriptor holds it on.
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
    """Hold the lock, waiting for whoever holds it now, but not without a word.

    Raises:
        Refused: it is held for longer than any download takes.
    """
    deadline = monotonic() + _WAIT_S_MAX
    if (descriptor := try_lock(path)) is None:
        when_waiting()
    while descriptor is None:  # ends: with the lock or at the deadline
        if monotonic() >= deadline:
            raise Refused(f"{path} has been locked for {_WAIT_S_MAX:.0f} s", "end the process that holds it")
        sleep(_LOOK_AGAIN_S)
        descriptor = try_lock(path)
    try:
        yield
    finally:
        os.close(descriptor)
