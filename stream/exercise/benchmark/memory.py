"""Memory and processor time of a process and the processes below it."""

import contextlib
import resource
import sys
from pathlib import Path

import psutil

MIB = 1024 * 1024
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_PEAK = "VmHWM:"


def resident_mib(process: psutil.Process) -> float:
    """Return the resident memory of a process and all processes below it."""
    total = 0
    with contextlib.suppress(psutil.Error):
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += each.memory_info().rss
    return total / MIB


def reset_peak() -> None:
    """Reset `peak_mib`; on a system that cannot (macOS), it keeps the peak of the whole process."""
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5", encoding="ascii")


def peak_mib() -> float:
    """Return the peak of the resident memory of this process."""
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith(_PEAK):
                return int(line.split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB


def children_cpu_s(process: psutil.Process) -> float:
    """Return the processor time of all processes below this one, running and exited, in steps of 10 ms."""
    total = 0.0
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            times = child.cpu_times()
            total += times.user + times.system
    ended = process.cpu_times()
    return total + ended.children_user + ended.children_system
