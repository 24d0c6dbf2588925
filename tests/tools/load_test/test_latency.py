from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from stream.tools.load_test.latency import CURVE, PERCENTILES, curve, summarize

MS = 1_000_000


@given(st.lists(st.integers(0, 60_000 * MS), min_size=1, max_size=300))
def test_percentiles_are_exact_to_three_digits(latencies_ns: list[int]) -> None:
    latency = summarize(latencies_ns)
    assert latency is not None
    ordered = sorted(latencies_ns)
    percentiles = latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.p99_9_ms
    for percentile, ms in zip(PERCENTILES, percentiles, strict=True):
        rank = int(percentile / 100 * len(ordered) + 0.5)
        exact_ms = ordered[max(0, rank - 1)] / MS
        assert abs(ms - exact_ms) <= max(0.0021, exact_ms * 0.0011), percentile
    assert abs(latency.max_ms - max(0.001, ordered[-1] / MS)) <= 0.001
    assert latency.count == len(latencies_ns)


@given(st.lists(st.integers(0, 10_000 * MS), min_size=1, max_size=100))
def test_encoded_histogram_gives_the_same_percentiles(latencies_ns: list[int]) -> None:
    latency = summarize(latencies_ns)
    assert latency is not None
    decoded = curve(latency.encoded)
    assert tuple(decoded) == CURVE
    assert all(a <= b for a, b in pairwise(decoded.values()))
    assert abs(decoded[50.0] - latency.p50_ms) <= max(0.002, 0.001 * latency.p50_ms)


def test_no_latencies_give_none() -> None:
    assert summarize([]) is None


def test_latency_above_an_hour_counts_as_an_hour() -> None:
    latency = summarize([7_200_000 * MS])
    assert latency is not None
    assert latency.max_ms == 3_600_000
