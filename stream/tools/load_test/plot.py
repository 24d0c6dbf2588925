"""Draws a report: latency against load, throughput and processor time against blob size."""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from stream.tools.load_test.costs import Cost, fit_costs, round_trips
from stream.tools.load_test.figures import Latency, LatencyAtDelay, LatencyAtRate, Report, Throughput
from stream.tools.load_test.latency import curve

_COLUMNS, _PANEL_INCHES, _DPI = 2, (6.2, 3.6), 150
_LINES: tuple[tuple[str, Callable[[Latency], float]], ...] = (
    ("p50", lambda latency: latency.p50_ms),
    ("p90", lambda latency: latency.p90_ms),
    ("p99", lambda latency: latency.p99_ms),
    ("p99.9", lambda latency: latency.p99_9_ms),
    ("max", lambda latency: latency.max_ms),
)
_AXES = {
    "words_per_blob": "words per blob",
    "partitions": "partitions",
    "dictionary_words": "words in the dictionary",
}
Panel = Callable[[Axes], None]


def draw(report: Report, path: Path) -> None:
    """Draw a report into a PNG file."""
    panels = list(_panels(report))
    lines = max(1, -(-len(panels) // _COLUMNS))
    size = (_PANEL_INCHES[0] * _COLUMNS, _PANEL_INCHES[1] * lines + 0.5)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.12))
    FigureCanvasAgg(figure)
    axes = figure.subplots(lines, _COLUMNS, squeeze=False).flatten()
    for panel, axis in zip(panels, axes, strict=False):
        panel(axis)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    conditions = report.conditions
    command = " ".join(["worker", *conditions["worker_arguments"]])
    figure.suptitle(
        f"{conditions['cpus']} CPUs, {conditions['workers']} x {command}, seed {conditions['seed']}, "
        f"{conditions['dictionary_words']:,} words in the dictionary",
        fontsize=10,
    )
    figure.savefig(path, dpi=_DPI, format="png")


def _panels(report: Report) -> list[Panel]:
    panels: list[Panel] = []
    loads = [load for load in report.latency if load.latency is not None]
    if loads:
        panels += [lambda axis: _latency(axis, loads), lambda axis: _distribution(axis, loads)]
    if report.delays:
        panels.append(lambda axis: _delays(axis, report.delays))
    if costs := fit_costs(report.throughput):
        panels.append(lambda axis: _cost(axis, report.throughput, costs.cpu))
    for key, rows in {"words_per_blob": report.throughput, **report.scale}.items():
        if rows:
            panels += _costs(key, rows)
    return panels


def _latency(axis: Axes, loads: Sequence[LatencyAtRate]) -> None:
    rows = sorted(loads, key=lambda load: load.words_per_s)
    for name, value in _LINES:
        points = [value(load.latency) for load in rows if load.latency is not None]
        axis.plot([load.words_per_s for load in rows], points, "o-", label=name, markersize=4)
    _log(axis)
    axis.set_xscale("log")
    axis.set_title("latency against load, ms (from due to committed)", fontsize=10)
    axis.set_xlabel(f"words/s, in blobs of {rows[0].words_per_blob:,} words")
    axis.set_xticks([load.words_per_s for load in rows])
    for load in rows:
        if load.is_saturated:
            line = axis.axvline(load.words_per_s, color="0.5", linestyle=":")
            line.set_label("above capacity")
    axis.legend(fontsize=8, frameon=False)
    _plain(axis)


def _distribution(axis: Axes, loads: Sequence[LatencyAtRate]) -> None:
    for load in loads:
        assert load.latency is not None
        percentiles = curve(load.latency.encoded)
        axis.plot(
            [f"{percentile:g}" for percentile in percentiles],
            list(percentiles.values()),
            label=f"{load.rate:,.0f} blobs/s",
        )
    _log(axis)
    axis.set_title("latency by percentile, ms", fontsize=10)
    axis.set_xlabel("percentile")
    axis.legend(fontsize=8, frameon=False)
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axis.yaxis.set_minor_formatter(NullFormatter())


def _delays(axis: Axes, rows: Sequence[LatencyAtDelay]) -> None:
    number = round_trips(rows)
    for rate in sorted({row.at_rate.rate for row in rows}):
        at_rate = [(row.delay_ms, row.at_rate.latency) for row in rows if row.at_rate.rate == rate]
        points = [(delay_ms, latency.p50_ms) for delay_ms, latency in at_rate if latency is not None]
        axis.plot(*zip(*points, strict=True), "o-", markersize=4, label=f"{rate:,.0f} blobs/s")
    axis.set_title("latency in a slow network, p50, ms", fontsize=10)
    axis.legend(fontsize=8, frameon=False, loc="lower right")
    axis.set_xlabel("delay of broker responses, ms")
    axis.set_ylim(bottom=0)
    if number is not None:
        axis.text(0.05, 0.9, f"at 1 blob/s: {number:.1f} consecutive round trips", transform=axis.transAxes)
    _plain(axis)


def _cost(axis: Axes, rows: Sequence[Throughput], cost: Cost) -> None:
    """Draw the processor time of a blob, and the line that fits it."""
    words = [row.words / row.blobs for row in rows]
    axis.plot(
        words,
        [size * row.cpu_s_per_million_words for size, row in zip(words, rows, strict=True)],
        "o",
        markersize=4,
        label="measured",
    )
    label = f"{cost.record_us:.1f} + {cost.word_us:.2f} x words"
    axis.plot(words, [cost.of_blob(size) for size in words], "-", label=label)
    axis.set_xscale("log")
    _log(axis)
    axis.set_title("processor time per blob, µs", fontsize=10)
    axis.set_xlabel("words per blob")
    axis.legend(fontsize=8, frameon=False)
    _plain(axis)


def _costs(key: str, rows: Sequence[Throughput]) -> list[Panel]:
    """Return a panel of the throughput and one of the processor time."""

    def panel(title: str, value: Callable[[Throughput], float]) -> Panel:
        def draw_panel(axis: Axes) -> None:
            axis.plot([getattr(row, key) for row in rows], [value(row) for row in rows], "o-", markersize=4)
            axis.set_xscale("log")
            axis.set_xticks([getattr(row, key) for row in rows])
            axis.set_ylim(0, 1.1 * max(value(row) for row in rows))
            axis.set_title(title, fontsize=10)
            axis.set_xlabel(_AXES[key])
            _plain(axis)

        return draw_panel

    return [
        panel("throughput, words/s", lambda row: row.words_per_s),
        panel("processor time, s per million words", lambda row: row.cpu_s_per_million_words),
    ]


def _log(axis: Axes) -> None:
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))


def _plain(axis: Axes) -> None:
    for each in (axis.xaxis, axis.yaxis):
        each.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
        each.set_minor_formatter(NullFormatter())


def _short(value: float) -> str:
    """Format a number with at most three digits."""
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.3g}"
