"""Statistics of measured values."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_NORMAL = statistics.NormalDist().inv_cdf(0.975)
# Student's t, two-sided 95 %, for 1 to 30 degrees of freedom.
_STUDENT = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Summary:
    """Statistics of a sample.

    Attributes:
        n: number of values.
        p95: 95th percentile, interpolated.
        half_width: half the width of the 95 % confidence interval of the mean, for nearly normal values;
            None for a single value.
    """

    n: int
    mean: float
    median: float
    p95: float
    half_width: float | None


def summarize(values: Sequence[float]) -> Summary:
    """Return the statistics of at least one value."""
    n = len(values)
    if n == 1:
        return Summary(1, values[0], values[0], values[0], None)
    p95 = statistics.quantiles(values, n=20, method="inclusive")[-1]
    half_width = t_factor(n - 1) * statistics.stdev(values) / n**0.5
    return Summary(n, statistics.fmean(values), statistics.median(values), p95, half_width)


def t_factor(freedom: int) -> float:
    """Return half the width of a two-sided 95 % interval, in standard errors."""
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    z = _NORMAL  # the first terms of a series in 1 / freedom
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
