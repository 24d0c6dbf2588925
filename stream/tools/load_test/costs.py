"""Lines fitted to measurements: the cost of a record and of a word, the round trips of a transaction."""

from collections.abc import Sequence
from dataclasses import dataclass

from stream.tools.load_test.figures import IDLE_RATE, LatencyAtDelay, Throughput

_MICRO = 1e6


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a blob in microseconds: `record_us` + words x `word_us`."""

    record_us: float
    word_us: float

    def of_blob(self, words: float) -> float:
        """Return the microseconds of a blob."""
        return self.record_us + words * self.word_us


@dataclass(frozen=True, slots=True)
class Costs:
    """The costs that fit a throughput for several sizes of blobs.

    Attributes:
        cpu: processor time.
        process: time of one process, including the time that it waits.
    """

    cpu: Cost
    process: Cost


def fit_costs(rows: Sequence[Throughput]) -> Costs | None:
    """Return the costs that fit steady rates with the least relative error; None for fewer than two sizes."""
    steady = [row for row in rows if row.steady_words_per_s and row.steady_cpu_s_per_million_words]
    if len({row.words_per_blob for row in steady}) < 2:  # noqa: PLR2004 - a line needs two points
        return None
    words = [row.words / row.blobs for row in steady]
    cpu = [size * row.cpu_s_per_million_words for size, row in zip(words, steady, strict=True)]
    process = [
        size * row.processes / row.words_per_s * _MICRO for size, row in zip(words, steady, strict=True)
    ]
    return Costs(Cost(*fit_line(words, cpu)), Cost(*fit_line(words, process)))


def round_trips(rows: Sequence[LatencyAtDelay]) -> float | None:
    """Return the number of consecutive broker responses that a blob waits for, with idle workers.

    It is the slope of the median latency over the delay of each response; None for fewer than two delays.
    """
    points = [
        (row.delay_ms, row.at_rate.latency.p50_ms)
        for row in rows
        if row.at_rate.latency is not None and row.at_rate.rate == IDLE_RATE
    ]
    if len({delay for delay, _ in points}) < 2:  # noqa: PLR2004 - a line needs two points
        return None
    mean_delay = sum(delay for delay, _ in points) / len(points)
    mean_ms = sum(ms for _, ms in points) / len(points)
    spread = sum((delay - mean_delay) ** 2 for delay, _ in points)
    return sum((delay - mean_delay) * (ms - mean_ms) for delay, ms in points) / spread


def fit_line(sizes: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Return intercept and slope, neither below 0, of the line with the least squared relative errors."""
    ones = [1 / value for value in values]
    slopes = [size / value for size, value in zip(sizes, values, strict=True)]
    a, b, c = _dot(ones, ones), _dot(ones, slopes), _dot(slopes, slopes)
    start, slope = (sum(ones) * c - sum(slopes) * b, sum(slopes) * a - sum(ones) * b)
    if start < 0:
        return 0.0, sum(slopes) / c
    if slope < 0:
        return sum(ones) / a, 0.0
    return start / (a * c - b * b), slope / (a * c - b * b)


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(left, right, strict=True))
