from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stream.errors import Fatal
from stream.tools.load_test import commit_watcher
from stream.tools.load_test.commit_watcher import CommitTimes, CommitWatcher


class FakeEnvironment:
    """Has one more result at each read, starting with the third."""

    def __init__(self, blobs: int) -> None:
        self.settings = SimpleNamespace(input_topic="in")
        self.blobs = blobs
        self.reads = 0

    def log_ends(self, _: str) -> dict[int, int]:
        return {0: self.blobs}

    def result_ends(self) -> dict[int, int]:
        self.reads += 1
        return {0: min(self.blobs, max(0, self.reads - 2))}

    def has_committed(self, ends: Mapping[int, int]) -> bool:
        return self.reads - 2 >= ends[0]


class FakeWorker:
    """Partitions move until `settled` reads have happened."""

    def __init__(self, environment: FakeEnvironment, settled: int) -> None:
        self.usage = SimpleNamespace(sample=lambda: float(environment.reads))
        self._environment = environment
        self._settled = settled

    def moves(self) -> int:
        return min(self._environment.reads, self._settled)

    def check(self) -> None:
        """The worker is running."""

    def last_lines(self) -> str:
        return "last lines"


def watched(monkeypatch: pytest.MonkeyPatch, settled: int, blobs: int = 20) -> tuple[CommitTimes, list[int]]:
    for name, seconds in (
        ("POLL_S", 0.002),
        ("GROUP_POLL_S", 0.0),
        ("GROUP_POLL_SOON_S", 0.0),
        ("REBALANCE_POLL_S", 0.0),
    ):
        monkeypatch.setattr(commit_watcher, name, seconds)
    environment, progress = FakeEnvironment(blobs), list[int]()
    worker = FakeWorker(environment, settled)
    watcher = CommitWatcher(cast("Any", environment), cast("Any", worker), blobs)
    return watcher.run(progress.append), progress


def test_steady_part_begins_at_once_if_no_partition_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    times, progress = watched(monkeypatch, 0)
    assert times.steady_at == times.first_at < times.last_at
    assert times.steady_ends == {0: progress[0]}
    assert progress[-1] == 20


def test_steady_part_begins_after_the_last_move(monkeypatch: pytest.MonkeyPatch) -> None:
    times, progress = watched(monkeypatch, 12)
    assert times.first_at < times.steady_at < times.last_at
    assert progress[0] < 10 <= times.steady_ends[0] <= 12
    assert times.steady_cpu_s >= 12


def test_worker_that_commits_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_watcher, "STALL_S_MAX", 0.1)
    monkeypatch.setattr(FakeEnvironment, "result_ends", lambda _: {0: 0})
    with pytest.raises(Fatal, match=r"nothing was committed for 0 s, after 0 results.*\nlast lines"):
        watched(monkeypatch, 0)
