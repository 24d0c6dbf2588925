"""Memory settings of long-running processes."""

import contextlib
import ctypes
import gc

_MIB = 1024 * 1024
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # glibc's parameter numbers
_LARGE_BYTES = _MIB  # librdkafka's fetch buffers are larger, the arrays of the engine are smaller
_KEPT_BYTES = 8 * _MIB


def keep_memory_small() -> None:
    """Let all threads allocate from one arena, and return large blocks to the system when they are freed.

    By default glibc uses an arena per thread, which increases the memory of a worker by half. It also keeps
    large freed blocks and puts small ones into them, so that the next large block needs new memory: a tenth
    more.
    """
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def give_back() -> None:
    """Collect garbage and return free memory to the system, so that forked processes do not inherit it."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def collect_seldom() -> None:
    """Exclude existing objects from garbage collection, and collect less often.

    A batch creates many objects but no cycles, except for the tracebacks of rejected records. This saves a
    sixth of the time to count records and half of the time to reject them.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
