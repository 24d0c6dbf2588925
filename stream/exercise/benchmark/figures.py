"""The metrics of a measurement, their formats, and the best orchestrator of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from stream.exercise.benchmark.measure import Measured
from stream.exercise.benchmark.summary import Summary


class Better(Enum):
    """Which values of a metric are better."""

    MORE = 1
    LESS = -1
    NEITHER = 0


@dataclass(frozen=True, slots=True)
class Metric:
    """A column of the tables.

    Attributes:
        title: the heading of the column.
        value: computes the value; None if there is none.
        format_value: formats the value.
    """

    name: str
    title: str
    better: Better
    value: Callable[[Measured], float | None]
    format_value: Callable[[float], str]


def significant(value: float) -> str:
    """Format a number with three significant digits, or with all digits before the point."""
    if abs(value) >= 100:  # noqa: PLR2004
        return f"{value:,.0f}"
    decimals = 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3  # noqa: PLR2004
    return f"{value:.{decimals}f}"


def _tenths(value: float) -> str:
    return f"{round(value, 1) + 0.0:,.1f}"  # never -0.0


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


def formatted(metric: Metric, measured: Measured) -> str:
    """Format the value of a metric; `-` if there is none."""
    value = metric.value(measured)
    return "-" if value is None else metric.format_value(value)


def best_of(rows: Sequence[Measured], *, faults: bool = False) -> Mapping[str, frozenset[str]]:
    """Return the best orchestrators of one case: metric -> names, several if they tie.

    Only orchestrators with the highest success rate compete, because wrong results do not count as fast.
    Values tie if they are formatted alike. A single row is not compared. With faults, orchestrators that
    called no stage do not compete, because they were not exposed to faults.
    """
    best_rate = max((row.success_rate for row in rows), default=0.0)
    winners: dict[str, frozenset[str]] = {}
    for metric in METRICS:
        values: dict[str, float] = {}
        for row in rows:
            value = metric.value(row)
            competes = row.success_rate == best_rate > 0 and (row.called_stages or not faults)
            if value is not None and competes:
                values[row.orchestrator] = _parsed(metric.format_value(value))
        if metric.better is Better.NEITHER or len(rows) < 2 or not values:  # noqa: PLR2004
            continue
        best = max(values.values(), key=lambda value: value * metric.better.value)
        winners[metric.name] = frozenset(name for name, value in values.items() if value == best)
    return winners


def _parsed(text: str) -> float:
    return float(text.replace(",", "").removesuffix(" %"))
