from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from stream.tools.load_test.latency import CURVE, PERCENTILES, curve, summarize

MS = 1_000_000


@given(st.lists(st.integers(0, 60_000 * MS), min_size=1, max_size=300))
def test_percentiles_are_those_of_the_values_to_three_digits(latencies_ns: list[int]) -> None:
    found = summarize(latencies_ns)
    assert found is not None
    ordered = sorted(latencies_ns)
    percentiles = found.p50_ms, found.p90_ms, found.p99_ms, found.p99_9_ms
    for percentile, ms in zip(PERCENTILES, percentiles, strict=True):
        at = int(percentile / 100 * len(ordered) + 0.5)
        exact_ms = ordered[max(0, at - 1)] / MS
        assert abs(ms - exact_ms) <= max(0.0021, exact_ms * 0.0011), percentile
    assert abs(found.max_ms - max(0.001, ordered[-1] / MS)) <= 0.001
    assert found.count == len(latencies_ns)


@given(st.lists(st.integers(0, 10_000 * MS), min_size=1, max_size=100))
def test_histogram_that_is_kept_gives_the_same_percentiles(latencies_ns: list[int]) -> None:
    found = summarize(latencies_ns)
    assert found is not None
    again = curve(found.encoded)
    assert tuple(again) == CURVE
    assert all(a <= b for a, b in pairwise(again.values()))
    assert abs(again[50.0] - found.p50_ms) <= max(0.002, 0.001 * found.p50_ms)


def test_none_of_none() -> None:
    assert summarize([]) is None


def test_longer_than_an_hour_counts_as_an_hour() -> None:
    found = summarize([7_200_000 * MS])
    assert found is not None
    assert found.max_ms == 3_600_000
