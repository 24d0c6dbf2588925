"""How many cores this process may use: limited by its CPU affinity and the quota of its control group."""

import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path


def usable_cores(root: Path = Path("/")) -> int:
    """Return the number of cores, at least 1; a quota of 1.5 counts as 2. `root` holds `proc` and `sys`."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *(ceil(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quotas, in cores, of our control groups (version 1 and 2) and of their ancestors."""
    groups = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        own = path.strip("/")
        for group in (
            (own, *map(str, Path(own).parents)) if own else ("",)
        ):  # in a container, ours is the root
            if not controllers:
                yield from _cores(_read(groups / group / "cpu.max"))
            elif "cpu" in controllers.split(","):
                folder = groups / controllers / group
                quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
                yield from _cores(f"{quota} {period}")


def _cores(quota_and_period: str) -> Iterator[float]:
    match quota_and_period.split():
        case [quota, period] if quota.isdecimal() and period.isdecimal() and int(quota) and int(period):
            yield int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
