from array import array
from pathlib import Path
from typing import Any, cast

from stream.tools.load_test.latency import summarize
from stream.tools.load_test.live import Flow, recovery_times
from stream.tools.load_test.messages import ReaderOrder
from stream.tools.load_test.reader import Arrivals
from stream.tools.load_test.schedule import NS, Schedule

MS = NS // 1_000


def flow(rate: float, blobs: int, first: int = 0) -> Flow:
    order = ReaderOrder(prefix="b", start={}, first=first, blobs=blobs, file=Path("none"))
    nobody = cast("Any", None)
    return Flow(nobody, nobody, Schedule(0, rate, blobs), first, order)


def arrived(times_ms: list[int], first: int = 0, offsets: list[int] | None = None) -> Arrivals:
    numbers = range(first, first + len(times_ms))
    return Arrivals(
        array("q", numbers),
        array("q", [ms * MS for ms in times_ms]),
        array("q", [number % 2 for number in numbers]),
        array("q", offsets or list(numbers)),
    )


def test_stall_is_counted_for_all_that_was_due_meanwhile() -> None:
    """One blob each ms; nothing comes for a second: a tenth of all waited 800 ms and more."""
    arrivals = arrived([max(1_000, ms) for ms in range(2_000)])
    found = summarize(flow(1_000, 2_000).latencies_ns(arrivals))
    assert found is not None
    assert 745 < found.p90_ms < 805
    assert found.max_ms == 1_000
    assert found.count == 2_000


def test_latency_is_from_when_the_blob_of_that_number_was_due() -> None:
    moving = flow(100, 3, first=50)
    assert list(moving.latencies_ns(arrived([5, 17, 40], first=50))) == [5 * MS, 7 * MS, 20 * MS]
    assert list(moving.latencies_ns(arrived([5, 17, 40], first=50), skipped=2)) == [20 * MS]


def test_recovery_is_the_first_result_beyond_the_log_of_before() -> None:
    """Blobs each 100 ms; killed at 350 ms; of what came later the first two lay in the log already."""
    times_ms = [10, 110, 210, 360, 1_500, 1_500, 1_600, 1_600, 1_600, *range(1_620, 1_700, 10), 1_720]
    offsets = [0, 1, 2, 3, 4, 5, *range(20, 20 + len(times_ms) - 6)]
    arrivals = arrived(times_ms, offsets=offsets)
    found = recovery_times(flow(10, len(times_ms)), arrivals, 350 * MS, {0: 10, 1: 10})
    assert found.first_new_s == (1_600 - 350) / 1_000
    assert found.all_partitions_s == (1_600 - 350) / 1_000
    assert found.caught_up_s == (1_690 - 350) / 1_000
    assert found.worst_ms == 1_500 - 400


def test_arrivals_are_the_same_after_saving(tmp_path: Path) -> None:
    arrivals = arrived([3, 1, 2], first=9)
    arrivals.save(tmp_path / "file")
    assert Arrivals.load(tmp_path / "file") == arrivals
    Arrivals().save(tmp_path / "none")
    assert Arrivals.load(tmp_path / "none") == Arrivals()
