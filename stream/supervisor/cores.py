"""How many cores are usable and how many workers fit into memory: by CPU affinity and control group."""

import os
import sys
from collections.abc import Iterator
from math import ceil
from pathlib import Path

PROCESS_BYTES = 160 * 1024 * 1024  # a worker with ordinary text has a peak of 142 MiB (`hatch run floods`)


def usable_cores(root: Path = Path("/")) -> int:
    """Return the number of cores, at least 1; a quota of 1.5 counts as 2. `root` has `proc` and `sys`."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *(ceil(quota) for quota in _quotas(root))]))


def processes_in_memory(root: Path = Path("/")) -> int:
    """Return how many worker processes fit into the memory limit of the control group, at least 1."""
    limits = [
        int(limit)
        for folder, is_version_1 in _groups(root, "memory")
        if (
            limit := _read(folder / ("memory.limit_in_bytes" if is_version_1 else "memory.max")).strip()
        ).isdecimal()
    ]
    return max(1, min(limits, default=sys.maxsize) // PROCESS_BYTES)


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quotas in cores."""
    for folder, is_version_1 in _groups(root, "cpu"):
        if is_version_1:
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
            yield from _cores(f"{quota} {period}")
        else:
            yield from _cores(_read(folder / "cpu.max"))


def _groups(root: Path, controller: str) -> Iterator[tuple[Path, bool]]:
    """Yield the folders of our control groups and of their ancestors, and whether each is of version 1."""
    groups = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        own = path.strip("/")
        for group in (
            (own, *map(str, Path(own).parents)) if own else ("",)
        ):  # in a container, ours is the root
            if not controllers:
                yield groups / group, False
            elif controller in controllers.split(","):
                yield groups / controllers / group, True


def _cores(quota_and_period: str) -> Iterator[float]:
    match quota_and_period.split():
        case [quota, period] if quota.isdecimal() and period.isdecimal() and int(quota) and int(period):
            yield int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
