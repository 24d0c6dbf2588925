import random
import statistics
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.exercise.benchmark.summary import summarize, t_factor

VALUES = st.lists(st.floats(min_value=0.001, max_value=1e6), min_size=2, max_size=200)


@given(VALUES)
def test_summary_equals_that_of_the_standard_library(values: list[float]) -> None:
    summary = summarize(values)
    assert summary.n == len(values)
    assert summary.mean == pytest.approx(statistics.mean(values))
    assert summary.median == statistics.median(values)
    assert summary.p95 == pytest.approx(statistics.quantiles(values, n=100, method="inclusive")[94])
    error = statistics.stdev(values) / len(values) ** 0.5
    assert summary.half_width == pytest.approx(t_factor(len(values) - 1) * error)


def test_single_value_has_no_confidence_interval() -> None:
    summary = summarize([3.0])
    assert (summary.n, summary.mean, summary.median, summary.p95, summary.half_width) == (
        1,
        3.0,
        3.0,
        3.0,
        None,
    )


def test_t_factor_approaches_that_of_the_normal_distribution() -> None:
    factors = [t_factor(freedom) for freedom in range(1, 2_000)]
    assert all(before > after for before, after in pairwise(factors))
    assert factors[-1] == pytest.approx(statistics.NormalDist().inv_cdf(0.975), abs=0.002)
    assert t_factor(40) == pytest.approx(2.021, abs=0.001)  # from a t table
    assert t_factor(120) == pytest.approx(1.980, abs=0.001)


@pytest.mark.parametrize("runs", [3, 10, 60])
def test_interval_contains_the_true_mean_in_95_of_100_cases(runs: int) -> None:
    rng = random.Random(runs)
    held = 0
    for _ in range(2_000):
        summary = summarize([rng.gauss(100, 15) for _ in range(runs)])
        assert summary.half_width is not None
        held += abs(summary.mean - 100) <= summary.half_width
    assert held / 2_000 == pytest.approx(0.95, abs=0.015)
