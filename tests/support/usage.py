"""Memory, threads and file descriptors of a process, from /proc."""

from pathlib import Path


def peak_mib(pid: int) -> float:
    return _status_kib(pid, "VmHWM") / 1024


def resident_mib(pid: int) -> float:
    return _status_kib(pid, "VmRSS") / 1024


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def handles(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _status_kib(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise AssertionError(name)
