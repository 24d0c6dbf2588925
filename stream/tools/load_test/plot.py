"""A report -> a picture: latency over load, throughput and processor over the size of blobs."""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from stream.tools.load_test.figures import Latency, Load, Report, Throughput
from stream.tools.load_test.latency import curve

_COLUMNS, _PANEL_INCHES, _DPI = 2, (6.2, 3.6), 150
_LINES: tuple[tuple[str, Callable[[Latency], float]], ...] = (
    ("p50", lambda found: found.p50_ms),
    ("p90", lambda found: found.p90_ms),
    ("p99", lambda found: found.p99_ms),
    ("p99.9", lambda found: found.p99_9_ms),
    ("max", lambda found: found.max_ms),
)
_AXES = {
    "words_per_blob": "words a blob",
    "partitions": "partitions",
    "dictionary_words": "words in the dictionary",
}
Panel = Callable[[Axes], None]


def draw(report: Report, path: Path) -> None:
    """Draw all that was measured into a PNG."""
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
    of = report.conditions
    command = " ".join(["worker", *of["worker_arguments"]])
    figure.suptitle(
        f"{of['cpus']} CPUs, {of['workers']} x {command}, seed {of['seed']}, "
        f"{of['dictionary_words']:,} words in the dictionary",
        fontsize=10,
    )
    figure.savefig(path, dpi=_DPI, format="png")


def _panels(report: Report) -> list[Panel]:
    panels: list[Panel] = []
    loads = [load for load in report.latency if load.latency is not None]
    if loads:
        panels += [lambda axis: _latency(axis, loads), lambda axis: _distribution(axis, loads)]
    for key, rows in {"words_per_blob": report.throughput, **report.scale}.items():
        if rows:
            panels += _costs(key, rows)
    return panels


def _latency(axis: Axes, loads: Sequence[Load]) -> None:
    rows = sorted(loads, key=lambda load: load.words_per_s)
    for name, value in _LINES:
        points = [value(load.latency) for load in rows if load.latency is not None]
        axis.plot([load.words_per_s for load in rows], points, "o-", label=name, markersize=4)
    _log(axis)
    axis.set_xscale("log")
    axis.set_title("latency over load, ms (due to committed)", fontsize=10)
    axis.set_xlabel(f"words/s, in blobs of {rows[0].words_per_blob:,} words")
    axis.set_xticks([load.words_per_s for load in rows])
    for load in rows:
        if load.is_saturated:
            at = axis.axvline(load.words_per_s, color="0.5", linestyle=":")
            at.set_label("more than was taken")
    axis.legend(fontsize=8, frameon=False)
    _plain(axis)


def _distribution(axis: Axes, loads: Sequence[Load]) -> None:
    for load in loads:
        assert load.latency is not None
        found = curve(load.latency.encoded)
        axis.plot(
            [f"{percentile:g}" for percentile in found],
            list(found.values()),
            label=f"{load.rate:,.0f} blobs/s",
        )
    _log(axis)
    axis.set_title("latency by percentile, ms", fontsize=10)
    axis.set_xlabel("percentile")
    axis.legend(fontsize=8, frameon=False)
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axis.yaxis.set_minor_formatter(NullFormatter())


def _costs(key: str, rows: Sequence[Throughput]) -> list[Panel]:
    """Return a panel of words a second, and one of processor time."""

    def panel(title: str, value: Callable[[Throughput], float]) -> Panel:
        def drawn(axis: Axes) -> None:
            axis.plot([getattr(row, key) for row in rows], [value(row) for row in rows], "o-", markersize=4)
            axis.set_xscale("log")
            axis.set_xticks([getattr(row, key) for row in rows])
            axis.set_ylim(0, 1.1 * max(value(row) for row in rows))
            axis.set_title(title, fontsize=10)
            axis.set_xlabel(_AXES[key])
            _plain(axis)

        return drawn

    return [
        panel("throughput, words/s", lambda row: row.words_per_s),
        panel("processor, CPU seconds per million words", lambda row: row.cpu_s_per_million_words),
    ]


def _log(axis: Axes) -> None:
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))


def _plain(axis: Axes) -> None:
    for each in (axis.xaxis, axis.yaxis):
        each.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
        each.set_minor_formatter(NullFormatter())


def _short(value: float) -> str:
    """Write a number with three digits at most."""
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.3g}"
