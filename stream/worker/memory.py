"""How a process that runs for long takes memory."""

import contextlib
import ctypes
import gc

_MIB = 1024 * 1024
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # glibc's numbers for them
_LARGE_BYTES = _MIB  # what librdkafka fetches into; counting's own arrays are below
_KEPT_BYTES = 8 * _MIB


def keep_memory_small() -> None:
    """Let all threads share memory, and large pieces go back to the system when they are freed.

    The arenas of glibc, one for each thread, add half to what a worker takes. By default it also keeps a
    large piece, once freed, and puts small ones into it, so that the next needs new memory: a tenth more.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


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
