"""Draws a comparison: a panel for each metric, bars grouped by case."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter

from stream.exercise.benchmark.measure import Comparison, Measured
from stream.exercise.benchmark.report import rows_of
from stream.exercise.benchmark.summary import Summary, summarize

_COLUMNS, _PANEL_INCHES, _DPI = 2, (6.2, 3.4), 150
_LOG_FROM = 20  # ratio of the largest to the smallest value above which a linear axis hides small bars
_GROUP_WIDTH = 0.84
_COLORS = "tab10"


_LETTERS: dict[str, Any] = {"rotation": 90, "fontsize": 7, "ha": "center", "va": "bottom"}


@dataclass(frozen=True, slots=True)
class _Panel:
    title: str
    better: str
    value: Callable[[Measured], Summary | None]
    may_be_log: bool = True


def _success(row: Measured) -> Summary:
    return summarize([100 * row.success_rate])


def _peak(row: Measured) -> Summary | None:
    return summarize([run.peak_mib for run in row.successes]) if row.successes else None


def _growth(row: Measured) -> Summary | None:
    return None if row.growth_mib is None or not row.successes else summarize([row.growth_mib])


def _cpu(row: Measured) -> Summary | None:
    return None if row.cpu_percent is None else summarize([row.cpu_percent])


_PANELS = (
    _Panel("runtime, ms", "lower is better", lambda row: row.runtime_ms),
    _Panel("throughput, words/s", "higher is better", lambda row: row.words_per_s),
    _Panel("success rate, %", "higher is better", _success, may_be_log=False),
    _Panel("memory peak, MiB", "lower is better", _peak),
    _Panel("memory growth, MiB", "lower is better", _growth, may_be_log=False),
    _Panel("CPU utilization, %", "of one processor", _cpu, may_be_log=False),
)


def draw(comparison: Comparison, path: Path) -> None:
    """Draw a comparison into a PNG file."""
    cases = rows_of(comparison)
    names = list(dict.fromkeys(measured.orchestrator for measured in comparison.measured))
    lines = -(-len(_PANELS) // _COLUMNS)
    size = (_PANEL_INCHES[0] * _COLUMNS, _PANEL_INCHES[1] * lines + 1)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.12))
    FigureCanvasAgg(figure)
    axes = figure.subplots(lines, _COLUMNS).flatten()
    for panel, axis in zip(_PANELS, axes, strict=True):
        _draw_panel(panel, axis, names, cases)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(names), 4), frameon=False)
    conditions = comparison.conditions
    faults = Path(conditions.faults).name
    runs = "1 run" if conditions.iterations == 1 else f"{conditions.iterations} runs"
    title = f"{runs} per case, faults {faults}, seed {conditions.seed}"
    figure.suptitle(f"{title}; thin lines: 95 % confidence interval of the mean", fontsize=11)
    figure.savefig(path, dpi=_DPI, format="png")


def _draw_panel(
    panel: _Panel, axis: Axes, names: Sequence[str], cases: Mapping[str, Sequence[Measured]]
) -> None:
    width = _GROUP_WIDTH / len(names)
    values = [panel.value(row) for rows in cases.values() for row in rows]
    is_log = panel.may_be_log and _spreads([value.mean for value in values if value is not None])
    if is_log:
        axis.set_yscale("log")
    for number, name in enumerate(names):
        color = mpl.colormaps[_COLORS](number % 10)
        bars: list[tuple[float, Summary]] = []
        for group, rows in enumerate(cases.values()):
            x = group + (number - (len(names) - 1) / 2) * width
            summary = next((panel.value(row) for row in rows if row.orchestrator == name), None)
            if summary is None:
                axis.text(x, 0.02, "failed", transform=axis.get_xaxis_transform(), **_LETTERS)
            else:
                bars.append((x, summary))
        _draw_bars(axis, bars, width, color, name)
    axis.set_xticks(range(len(cases)), list(cases))
    axis.set_title(f"{panel.title}  ({panel.better}{', logarithmic' if is_log else ''})", fontsize=10)
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axis.grid(axis="y", alpha=0.3)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    low, high = axis.get_ylim()
    axis.set_ylim(
        low, high * (high / low) ** 0.16 if is_log else low + (high - low) * 1.16
    )  # room for the figures above the bars


def _draw_bars(
    axis: Axes,
    bars: Sequence[tuple[float, Summary]],
    width: float,
    color: tuple[float, float, float, float],
    name: str,
) -> None:
    for number, (x, summary) in enumerate(bars):
        height, reach = summary.mean, summary.half_width or 0.0
        axis.bar(x, height, width * 0.92, color=color, label="" if number else name)
        if reach:
            below = min(reach, height * 0.95)  # a logarithmic axis has no zero
            axis.errorbar(x, height, [[below], [reach]], ecolor="0.25", elinewidth=0.9, capsize=2)
        top = max(height, 0.0) + reach
        axis.annotate(_short(height), (x, top), (0, 3), textcoords="offset points", **_LETTERS)


def _spreads(values: Sequence[float]) -> bool:
    return bool(values) and min(values) > 0 and max(values) / min(values) > _LOG_FROM


def _short(value: float) -> str:
    """Format a number with at most three digits."""
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * unit or (abs(value) >= unit and letter == "M"):
            return f"{float(f'{value / unit:.3g}'):,g}{letter}"
    return f"{float(f'{value:.3g}'):,g}"
