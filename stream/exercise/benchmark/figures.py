"""What is shown of what was measured: the metrics, how each is written, and who is best."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from stream.exercise.benchmark.measure import Measured
from stream.exercise.benchmark.summary import Summary


class Better(Enum):
    """Which value of a metric is the best one."""

    MORE = 1
    LESS = -1
    NEITHER = 0


@dataclass(frozen=True, slots=True)
class Metric:
    """A column.

    Attributes:
        title: what a table calls it.
        value: None where there is nothing to say.
    """

    name: str
    title: str
    better: Better
    value: Callable[[Measured], float | None]
    written: Callable[[float], str]


def significant(value: float) -> str:
    """Write a number with three digits that count, or all that stand before the point."""
    if abs(value) >= 100:  # noqa: PLR2004
        return f"{value:,.0f}"
    decimals = 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3  # noqa: PLR2004
    return f"{value:.{decimals}f}"


def _tenths(value: float) -> str:
    return f"{round(value, 1) + 0.0:,.1f}"  # no -0.0


def _percent(value: float) -> str:
    return f"{value:.0f} %"


def _of_runtime(pick: Callable[[Summary], float | None]) -> Callable[[Measured], float | None]:
    def value(measured: Measured) -> float | None:
        summary = measured.runtime_ms
        return None if summary is None else pick(summary)

    return value


def _throughput(measured: Measured) -> float | None:
    summary = measured.words_per_s
    return None if summary is None else summary.mean


METRICS = (
    Metric("success_rate", "success", Better.MORE, lambda m: 100 * m.success_rate, lambda v: f"{v:.3g} %"),
    Metric("runtime_mean_ms", "mean ms", Better.LESS, _of_runtime(lambda s: s.mean), significant),
    Metric("runtime_ci95_ms", "± 95 %", Better.NEITHER, _of_runtime(lambda s: s.half_width), significant),
    Metric("runtime_median_ms", "median", Better.LESS, _of_runtime(lambda s: s.median), significant),
    Metric("runtime_p95_ms", "p95", Better.LESS, _of_runtime(lambda s: s.p95), significant),
    Metric("words_per_s", "words/s", Better.MORE, _throughput, significant),
    Metric("memory_peak_mib", "peak MiB", Better.LESS, lambda m: m.peak_mib, _tenths),
    Metric("memory_growth_mib", "growth MiB", Better.LESS, lambda m: m.growth_mib, _tenths),
    Metric("cpu_percent", "CPU", Better.NEITHER, lambda m: m.cpu_percent, _percent),
)


def shown(metric: Metric, measured: Measured) -> str:
    """Return a value as people read it; `-` where there is none."""
    value = metric.value(measured)
    return "-" if value is None else metric.written(value)


def best_of(rows: Sequence[Measured], *, faults: bool = False) -> Mapping[str, frozenset[str]]:
    """Return who is best of the rows of one case: metric -> contestants, more than one where they tie.

    Who fails more often than another is best at nothing: a wrong answer is not fast. Values tie when they are
    shown alike. A row alone is not compared. Under faults, neither is who met none.
    """
    most = max((row.success_rate for row in rows), default=0.0)
    found: dict[str, frozenset[str]] = {}
    for metric in METRICS:
        values: dict[str, float] = {}
        for row in rows:
            value = metric.value(row)
            met = row.tried_stages or not faults
            if value is not None and row.success_rate == most > 0 and met:
                values[row.contestant] = _as_shown(metric.written(value))
        if metric.better is Better.NEITHER or len(rows) < 2 or not values:  # noqa: PLR2004
            continue
        best = max(values.values(), key=lambda value: value * metric.better.value)
        found[metric.name] = frozenset(name for name, value in values.items() if value == best)
    return found


def _as_shown(written: str) -> float:
    return float(written.replace(",", "").removesuffix(" %"))
