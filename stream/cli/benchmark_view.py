"""Output of `benchmark` and `compare-benchmarks`: progress, tables, problems."""

from collections.abc import Mapping, Sequence

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from stream.cli.app import quantity
from stream.cli.shown import PIPE_WIDTH, Shown, bar
from stream.exercise.benchmark.figures import METRICS, Metric, best_of, formatted, significant
from stream.exercise.benchmark.measure import Comparison, Measured
from stream.exercise.benchmark.messages import StageFigures
from stream.exercise.benchmark.report import rows_of

_GAP = 2
_FIRST_HALF = 5  # metrics of the first table, if one table is too wide: those of success and time
_BEST = "*"

Rows = Sequence[tuple[str, Measured]]


class ProgressBar(Shown):
    """The progress: a bar on a terminal, silent in a pipe."""

    def __init__(self, runs: int) -> None:
        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("runs"),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        self._progress = bar(*columns)
        super().__init__(self._progress)
        self._task = self._progress.add_task("", total=runs)
        self._runs_over: dict[tuple[str, str], int] = {}

    def update(self, orchestrator: str, case: str, runs_over: int) -> None:
        """Set the number of completed runs of a case."""
        self._runs_over[orchestrator, case] = runs_over
        self._progress.update(
            self._task, completed=sum(self._runs_over.values()), description=f"{orchestrator} on {case}"
        )


def show_comparison(comparison: Comparison, to: Console, *, detailed: bool) -> None:
    """Print a table for each case, a row for each orchestrator; the best values are green or marked."""
    cases = rows_of(comparison)
    coloured = to.color_system is not None and not to.no_color
    for name, rows in cases.items():
        to.print(_heading(name, rows[0], comparison))
        named = [(row.orchestrator, row) for row in rows]
        _print_metrics(
            "orchestrator", named, to, best_of(rows, faults=comparison.has_faults), coloured=coloured
        )
        if detailed:
            to.print()
            to.print(_stages("orchestrator", named))
        _problems(named, to)
        without_faults = [
            row.orchestrator
            for row in rows
            if comparison.has_faults and row.successes and not row.called_stages
        ]
        if without_faults:
            to.print(
                f"not compared: {', '.join(without_faults)}: called no stage, so no faults were injected"
            )
        to.print()
    if any(len(rows) > 1 for rows in cases.values()):
        mark = "green" if coloured else _BEST
        to.print(
            f"{mark}: best of the case, among the orchestrators with the highest success rate", style="dim"
        )
    for name, why in comparison.unusable.items():
        to.print(Text.assemble(("not measured: ", "bold red"), (name, "bold"), f": {why}"))


def show_benchmark(comparison: Comparison, to: Console, *, detailed: bool) -> None:
    """Print the table of one orchestrator, a row for each case."""
    rows = [(measured.case.name, measured) for measured in comparison.measured]
    if rows:
        conditions = comparison.conditions
        to.print(
            Text.assemble(
                (rows[0][1].orchestrator, "bold"),
                f": {_faults(comparison)}, {quantity(conditions.iterations, 'run')} per case",
            )
        )
        _print_metrics("case", rows, to, {}, coloured=False)
        if detailed:
            to.print()
            to.print(_stages("case", rows))
        _problems(rows, to)
    for name, why in comparison.unusable.items():
        to.print(Text.assemble(("not measured: ", "bold red"), (name, "bold"), f": {why}"))


def _heading(name: str, first: Measured, comparison: Comparison) -> Text:
    words, runs = quantity(first.words, "word"), quantity(comparison.conditions.iterations, "run")
    return Text.assemble((name, "bold"), f": {words}, {runs} each, {_faults(comparison)}")


def _faults(comparison: Comparison) -> str:
    conditions = comparison.conditions
    return f"faults {conditions.faults}, seed {conditions.seed}"


def _print_metrics(
    first: str, rows: Rows, to: Console, best: Mapping[str, frozenset[str]], *, coloured: bool
) -> None:
    """Print one table, or two if one is too wide."""
    whole = _metrics_table(first, rows, METRICS, best, coloured=coloured)
    if Measurement.get(to, to.options.update(max_width=PIPE_WIDTH), whole).maximum <= to.width:
        to.print(whole)
        return
    for metrics in (METRICS[:_FIRST_HALF], METRICS[_FIRST_HALF:]):
        to.print(_metrics_table(first, rows, metrics, best, coloured=coloured))


def _metrics_table(
    first: str, rows: Rows, metrics: Sequence[Metric], best: Mapping[str, frozenset[str]], *, coloured: bool
) -> Table:
    table = _table(first, [metric.title for metric in metrics])
    room = "" if coloured or not best else " "  # keeps the digits of marked and other values aligned
    for name, measured in rows:
        cells = [Text(name)]
        for metric in metrics:
            is_best = measured.orchestrator in best.get(metric.name, ())
            text = formatted(metric, measured)
            cells.append(
                Text(text, "bold green")
                if is_best and coloured
                else Text(text + (_BEST if is_best else room))
            )
        table.add_row(*cells)
    return table


def _stages(first: str, rows: Rows) -> RenderableType:
    table = _table(first, ["stage", "attempts", "successes", "failures", "success", "mean ms"])
    table.columns[1].justify = "left"
    for name, measured in rows:
        called = {stage: figures for stage, figures in measured.stages.items() if figures.attempts}
        if not called:
            table.add_row(Text(name), "called no stage")
        for stage, figures in called.items():
            table.add_row(Text(name), *_stage_cells(stage, figures))
    return table


def _stage_cells(stage: str, figures: StageFigures) -> list[str]:
    return [
        stage,
        f"{figures.attempts:,}",
        f"{figures.successes:,}",
        f"{figures.failures:,}",
        f"{100 * figures.successes / figures.attempts:.3g} %",
        significant(1000 * figures.seconds / figures.attempts),
    ]


def _table(first: str, titles: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    table.add_column(first, style="cyan", no_wrap=True)
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _problems(rows: Rows, to: Console) -> None:
    for name, measured in rows:
        for problem in measured.problems:
            to.print(Text.assemble(("! ", "bold red"), (name, "bold"), f": {problem}"))
