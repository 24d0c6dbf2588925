"""Percentiles of latencies from an HdrHistogram with three digits, from a microsecond to an hour."""

from collections.abc import Iterable, Sequence

from hdrh.histogram import HdrHistogram

from stream.tools.load_test.figures import Latency

PERCENTILES = (50.0, 90.0, 99.0, 99.9)
CURVE = (0.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 100.0)
_US_MAX = 3_600_000_000
_DIGITS = 3


def summarize(latencies_ns: Iterable[int]) -> Latency | None:
    """Return the percentiles of latencies; None if there are none."""
    histogram = HdrHistogram(1, _US_MAX, _DIGITS)
    longest_us = 0
    for latency_ns in latencies_ns:
        latency_us = min(_US_MAX, max(1, latency_ns // 1_000))
        histogram.record_value(latency_us)
        longest_us = max(longest_us, latency_us)
    if not histogram.get_total_count():
        return None
    p50, p90, p99, p99_9 = (_percentile_ms(histogram, each, longest_us) for each in PERCENTILES)
    return Latency(
        histogram.get_total_count(), p50, p90, p99, p99_9, longest_us / 1_000, histogram.encode().decode()
    )


def curve(encoded: str, percentiles: Sequence[float] = CURVE) -> dict[float, float]:
    """Return percentile -> latency in milliseconds, of an encoded histogram."""
    histogram = HdrHistogram.decode(encoded)
    return {each: _percentile_ms(histogram, each, _US_MAX) for each in percentiles}


def _percentile_ms(histogram: HdrHistogram, percentile: float, longest_us: int) -> float:
    """Return a percentile; the upper end of its bucket may lie beyond the longest latency."""
    return float(min(histogram.get_value_at_percentile(percentile), longest_us)) / 1_000
