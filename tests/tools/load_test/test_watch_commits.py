from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stream.errors import Fatal
from stream.tools.load_test import watch as watch_module
from stream.tools.load_test.watch import Instruments, Marks


class LoadTestEnvironment:
    """Results grow by one with each look, from the third on."""

    def __init__(self, blobs: int) -> None:
        self.settings = SimpleNamespace(input_topic="in")
        self.blobs = blobs
        self.looks = 0

    def log_ends(self, _: str) -> dict[int, int]:
        return {0: self.blobs}

    def result_ends(self) -> dict[int, int]:
        self.looks += 1
        return {0: min(self.blobs, max(0, self.looks - 2))}

    def has_committed(self, ends: Mapping[int, int]) -> bool:
        return self.looks - 2 >= ends[0]


class WorkerUnderTest:
    """Partitions move until a number of looks."""

    def __init__(self, cell: LoadTestEnvironment, settled: int) -> None:
        self.usage = SimpleNamespace(look=lambda: float(cell.looks))
        self._cell = cell
        self._settled = settled

    def moves(self) -> int:
        return min(self._cell.looks, self._settled)

    def check(self) -> None:
        """It lives."""

    def last_lines(self) -> str:
        return "last lines"


def watched(monkeypatch: pytest.MonkeyPatch, settled: int, blobs: int = 20) -> tuple[Marks, list[int]]:
    for name, seconds in (("LOOK_S", 0.002), ("ASK_S", 0.0), ("ASK_SOON_S", 0.0), ("MOVES_S", 0.0)):
        monkeypatch.setattr(watch_module, name, seconds)
    cell, told = LoadTestEnvironment(blobs), list[int]()
    subject = WorkerUnderTest(cell, settled)
    return Instruments(cast("Any", cell), cast("Any", subject), blobs).run(told.append), told


def test_steady_part_begins_at_once_where_nothing_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    marks, told = watched(monkeypatch, 0)
    assert marks.steady_at == marks.first_at < marks.last_at
    assert marks.steady_ends == {0: told[0]}
    assert told[-1] == 20


def test_steady_part_begins_after_the_last_move(monkeypatch: pytest.MonkeyPatch) -> None:
    marks, told = watched(monkeypatch, 12)
    assert marks.first_at < marks.steady_at < marks.last_at
    assert told[0] < 10 <= marks.steady_ends[0] <= 12
    assert marks.steady_cpu_s >= 12


def test_worker_that_commits_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "STALL_S_MAX", 0.1)
    monkeypatch.setattr(LoadTestEnvironment, "result_ends", lambda _: {0: 0})
    with pytest.raises(Fatal, match=r"nothing was committed for 0 s, after 0 results.*\nlast lines"):
        watched(monkeypatch, 0)
