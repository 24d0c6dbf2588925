import os
from pathlib import Path

import pytest

from stream.supervisor.cores import PROCESS_BYTES, processes_in_memory, usable_cores


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def machine(root: Path, group: str, **quotas: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(group)
    for location, quota in quotas.items():
        path = root / "sys/fs/cgroup" / location.replace("__", "/")
        path = path.with_name(
            path.name.replace("_max", ".max")
            .replace("cpu_cfs", "cpu.cfs")
            .replace("memory_limit", "memory.limit")
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(quota)
    return root


def test_without_a_quota_the_cpu_affinity_counts(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == 8
    assert usable_cores(machine(tmp_path, "0::/\n", cpu_max="max 100000\n")) == 8


@pytest.mark.parametrize(
    ("quota", "cores"), [("200000 100000\n", 2), ("150000 100000\n", 2), ("5000 100000\n", 1)]
)
def test_a_quota_is_rounded_up(tmp_path: Path, quota: str, cores: int) -> None:
    assert usable_cores(machine(tmp_path, "0::/\n", cpu_max=quota)) == cores


def test_a_quota_of_a_parent_group_counts_too(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/a/b\n", a__b__cpu_max="max 100000", a__cpu_max="300000 100000")
    assert usable_cores(root) == 3


def test_in_a_container_the_root_group_counts(tmp_path: Path) -> None:
    assert usable_cores(machine(tmp_path, "0::/docker/123\n", cpu_max="400000 100000")) == 4


def test_a_quota_of_version_1_counts(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        "5:memory:/x\n4:cpu,cpuacct:/x\n0::/\n",
        **{"cpu,cpuacct__x__cpu_cfs_quota_us": "250000\n", "cpu,cpuacct__x__cpu_cfs_period_us": "100000\n"},
    )
    assert usable_cores(root) == 3


def test_version_1_without_a_quota_has_no_limit(tmp_path: Path) -> None:
    root = machine(tmp_path, "4:cpu:/\n", cpu__cpu_cfs_quota_us="-1\n", cpu__cpu_cfs_period_us="100000\n")
    assert usable_cores(root) == 8


@pytest.mark.parametrize(
    ("limit", "processes"), [(3 * PROCESS_BYTES, 3), (2 * PROCESS_BYTES - 1, 1), (1024, 1)]
)
def test_memory_limit_of_a_group_or_its_parent_limits_the_processes(
    tmp_path: Path, limit: int, processes: int
) -> None:
    in_parent = machine(tmp_path / "a", "0::/a/b\n", a__b__memory_max="max\n", a__memory_max=f"{limit}\n")
    assert processes_in_memory(in_parent) == processes
    in_container = machine(tmp_path / "b", "0::/docker/123\n", memory_max=f"{limit}\n")
    assert processes_in_memory(in_container) == processes
    version_1 = machine(tmp_path / "c", "5:memory:/x\n", memory__x__memory_limit_in_bytes=f"{limit}\n")
    assert processes_in_memory(version_1) == processes


def test_without_a_memory_limit_all_cores_get_a_process(tmp_path: Path) -> None:
    assert processes_in_memory(tmp_path) > 1000
    assert processes_in_memory(machine(tmp_path, "0::/\n", memory_max="max\n")) > 1000
