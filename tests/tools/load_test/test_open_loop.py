from array import array
from pathlib import Path
from typing import Any, cast

from stream.tools.load_test.latency import summarize
from stream.tools.load_test.messages import ReaderOrder
from stream.tools.load_test.open_loop import RunningLoad, recovery_times
from stream.tools.load_test.reader import Arrivals
from stream.tools.load_test.schedule import NS, Schedule

MS = NS // 1_000


def load(rate: float, blobs: int, first: int = 0) -> RunningLoad:
    order = ReaderOrder(prefix="b", start={}, first=first, blobs=blobs, file=Path("none"))
    no_child = cast("Any", None)
    return RunningLoad(no_child, no_child, Schedule(0, rate, blobs), first, order)


def arrived(times_ms: list[int], first: int = 0, offsets: list[int] | None = None) -> Arrivals:
    numbers = range(first, first + len(times_ms))
    return Arrivals(
        array("q", numbers),
        array("q", [ms * MS for ms in times_ms]),
        array("q", [number % 2 for number in numbers]),
        array("q", offsets or list(numbers)),
    )


def test_stall_delays_all_blobs_that_are_due_during_it() -> None:
    """One blob per ms and no result for a second: a tenth of all blobs waits 800 ms or more."""
    arrivals = arrived([max(1_000, ms) for ms in range(2_000)])
    latency = summarize(load(1_000, 2_000).latencies_ns(arrivals))
    assert latency is not None
    assert 745 < latency.p90_ms < 805
    assert latency.max_ms == 1_000
    assert latency.count == 2_000


def test_latency_is_measured_from_the_due_time_of_the_blob() -> None:
    later_load = load(100, 3, first=50)
    assert list(later_load.latencies_ns(arrived([5, 17, 40], first=50))) == [5 * MS, 7 * MS, 20 * MS]
    assert list(later_load.latencies_ns(arrived([5, 17, 40], first=50), skipped=2)) == [20 * MS]


def test_recovery_counts_results_beyond_the_end_of_the_log_at_the_kill() -> None:
    """A blob every 100 ms, a kill at 350 ms; the first two results after it were already in the log."""
    times_ms = [10, 110, 210, 360, 1_500, 1_500, 1_600, 1_600, 1_600, *range(1_620, 1_700, 10), 1_720]
    offsets = [0, 1, 2, 3, 4, 5, *range(20, 20 + len(times_ms) - 6)]
    arrivals = arrived(times_ms, offsets=offsets)
    times = recovery_times(load(10, len(times_ms)), arrivals, 350 * MS, {0: 10, 1: 10})
    assert times.first_new_s == (1_600 - 350) / 1_000
    assert times.all_partitions_s == (1_600 - 350) / 1_000
    assert times.caught_up_s == (1_690 - 350) / 1_000
    assert times.worst_ms == 1_500 - 400


def test_arrivals_are_loaded_as_they_were_saved(tmp_path: Path) -> None:
    arrivals = arrived([3, 1, 2], first=9)
    arrivals.save(tmp_path / "file")
    assert Arrivals.load(tmp_path / "file") == arrivals
    Arrivals().save(tmp_path / "none")
    assert Arrivals.load(tmp_path / "none") == Arrivals()
