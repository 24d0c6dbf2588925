"""Lines fitted to figures give the cost of a record and of a word, and the round trips per blob."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from stream.tools.load_test.costs import Cost, Costs, fit_costs, fit_line, round_trips
from stream.tools.load_test.figures import LatencyAtDelay, LatencyAtRate, Throughput
from stream.tools.load_test.latency import summarize
from stream.tools.load_test.output_check import OutputCheck

ROW = Throughput(
    words_per_blob=5,
    partitions=4,
    dictionary_words=1_000,
    processes=2,
    blobs=100,
    words=500,
    first_s=1.0,
    whole_s=3.0,
    steady_words_per_s=1_000.0,
    cpu_s=6.0,
    steady_cpu_s_per_million_words=1.0,
    peak_mib=99.0,
    checked=OutputCheck(100, 100, totals=0),
)
LOAD = LatencyAtRate(1.0, 1.0, 20, 20.0, 10, 0, None, 1.0, 2.0, 6.0, 0.1, 0.25, 120.0)


def row(words: int, record_us: float, word_us: float) -> Throughput:
    """Return what a run on two processes would measure if a record and a word took this long."""
    blob_us = record_us + words * word_us
    return replace(
        ROW,
        words_per_blob=words,
        words=words * ROW.blobs,
        steady_cpu_s_per_million_words=blob_us / words,
        steady_words_per_s=2 * words / blob_us * 1e6,
    )


def test_fit_recovers_the_costs() -> None:
    costs = fit_costs([row(words, 6.0, 0.25) for words in (5, 20, 100)])
    cost = Cost(pytest.approx(6.0), pytest.approx(0.25))  # type: ignore[arg-type]
    assert costs == Costs(cost, cost)
    assert costs is not None
    assert costs.cpu.of_blob(20) == pytest.approx(11.0)


def test_one_size_or_a_rate_that_was_not_steady_gives_no_costs() -> None:
    assert fit_costs([row(5, 6.0, 0.25), row(5, 7.0, 0.25)]) is None
    assert fit_costs([row(5, 6.0, 0.25), replace(row(20, 6.0, 0.25), steady_words_per_s=None)]) is None


@pytest.mark.parametrize(
    ("values", "line"),
    [([2.0, 4.0, 8.0], (0.0, 2.0)), ([1.0, 4.0, 16.0], (0.0, 2.0)), ([4.0, 2.0, 2.0], (2.2, 0.0))],
)
def test_no_cost_is_below_zero(values: Sequence[float], line: tuple[float, float]) -> None:
    start, slope = fit_line([1.0, 2.0, 4.0], values)
    assert (start == 0, slope == 0) == (line[0] == 0, line[1] == 0)
    assert min(start, slope) >= 0


def test_round_trips_are_the_slope_of_the_median() -> None:
    def latency(delay_ms: float, p50_ms: float) -> LatencyAtDelay:
        return LatencyAtDelay(delay_ms, replace(LOAD, latency=summarize([round(p50_ms * 1e6)])))

    rows = [latency(delay_ms, 12 + 6 * delay_ms) for delay_ms in (0, 5, 20, 80)]
    assert round_trips(rows) == pytest.approx(6.0, rel=0.01)
    assert round_trips(rows[:1]) is None
    assert round_trips([rows[0], LatencyAtDelay(5, LOAD)]) is None
