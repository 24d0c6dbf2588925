"""How a process that runs for long takes memory."""

import contextlib
import ctypes
import gc

_M_ARENA_MAX = -8  # glibc's number for it


def share_one_arena() -> None:
    """Let all threads share memory: the arenas of glibc, one for each, add half to what a worker takes."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Collect garbage and give what is free to the system: after a fork it would lie in every process."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def collect_seldom() -> None:
    """Leave what is there out of garbage collection, and look for garbage less often.

    A batch is many objects and no cycles, but for the tracebacks of rejected records: counting takes a sixth
    less time so, rejecting a half.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
