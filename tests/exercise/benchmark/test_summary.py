import random
import statistics
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.exercise.benchmark.summary import summarize, t_factor

VALUES = st.lists(st.floats(min_value=0.001, max_value=1e6), min_size=2, max_size=200)


@given(VALUES)
def test_summary_is_what_the_standard_library_says(values: list[float]) -> None:
    found = summarize(values)
    assert found.n == len(values)
    assert found.mean == pytest.approx(statistics.mean(values))
    assert found.median == statistics.median(values)
    assert found.p95 == pytest.approx(statistics.quantiles(values, n=100, method="inclusive")[94])
    error = statistics.stdev(values) / len(values) ** 0.5
    assert found.half_width == pytest.approx(t_factor(len(values) - 1) * error)


def test_single_value_says_nothing_of_its_confidence() -> None:
    found = summarize([3.0])
    assert (found.n, found.mean, found.median, found.p95, found.half_width) == (1, 3.0, 3.0, 3.0, None)


def test_factor_falls_to_that_of_the_normal_distribution() -> None:
    factors = [t_factor(freedom) for freedom in range(1, 2_000)]
    assert all(before > after for before, after in pairwise(factors))
    assert factors[-1] == pytest.approx(statistics.NormalDist().inv_cdf(0.975), abs=0.002)
    assert t_factor(40) == pytest.approx(2.021, abs=0.001)  # as tables have it
    assert t_factor(120) == pytest.approx(1.980, abs=0.001)


@pytest.mark.parametrize("runs", [3, 10, 60])
def test_interval_holds_the_true_mean_in_95_of_100_cases(runs: int) -> None:
    rng = random.Random(runs)
    held = 0
    for _ in range(2_000):
        found = summarize([rng.gauss(100, 15) for _ in range(runs)])
        assert found.half_width is not None
        held += abs(found.mean - 100) <= found.half_width
    assert held / 2_000 == pytest.approx(0.95, abs=0.015)
