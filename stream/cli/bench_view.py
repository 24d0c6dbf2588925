"""Output of `bench`: progress, tables, errors in the output of the workers."""

from collections.abc import Iterable, Sequence
from itertools import chain

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from stream.cli.app import quantity
from stream.cli.shown import Shown, bar, tables
from stream.tools.load_test.costs import Costs, fit_costs, round_trips
from stream.tools.load_test.figures import (
    DRAIN_S_MAX,
    TAKEN_MS_MAX,
    LatencyAtDelay,
    LatencyAtRate,
    Recovery,
    Report,
    Throughput,
)
from stream.tools.load_test.output_check import OutputCheck

_MS = 1_000
NARROW = 100  # columns of a terminal
_AXES = {
    "words_per_blob": "words per blob",
    "partitions": "partitions",
    "dictionary_words": "words in the dictionary",
}


class ProgressBar(Shown):
    """The progress: a bar on a terminal, silent in a pipe."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        self._progress = bar(*columns)
        super().__init__(self._progress)
        self._task = self._progress.add_task("", total=1)

    def update(self, activity: str, done: int, total: int) -> None:
        self._progress.update(self._task, description=activity, completed=done, total=total)


def show_report(report: Report) -> None:
    """Print all figures."""
    console = tables()
    if report.throughput:
        console.print(_throughput(report.throughput, is_narrow=console.width < NARROW))
        _print_remarks(console, map(_throughput_remarks, report.throughput))
        if costs := fit_costs(report.throughput):
            console.print(_costs(costs))
    if report.latency:
        console.print(_latency(report.latency))
        _print_remarks(console, map(_remarks, report.latency))
    if report.delays:
        console.print(_delays(report.delays))
        if number := round_trips(report.delays):
            console.print(
                f"Each blob waits for {number:.1f} consecutive broker responses, including its fetch."
            )
    if report.recovery:
        console.print(_recovery(report.recovery))
    for axis, rows in report.scale.items():
        console.print(_scale(axis, rows))
        _print_remarks(console, map(_throughput_remarks, rows))
    _show_checks(console, report.checks)


def _table(title: str, *columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), title=title, title_justify="left", title_style="bold")
    for name in columns:
        table.add_column(name, justify="right", overflow="fold")
    return table


def _print_remarks(console: Console, rows: Iterable[Sequence[str]]) -> None:
    """Print the remarks of the rows below their table, each once: a column of prose would be too narrow."""
    for remark in dict.fromkeys(chain.from_iterable(rows)):
        console.print(f"  note: {remark}", markup=False)


def _throughput(rows: Sequence[Throughput], *, is_narrow: bool) -> Table:
    """Return the table; a narrow one lacks the number of blobs and words."""
    sizes = () if is_narrow else ("blobs", "words")
    table = _table(
        "throughput: processing a backlog",
        "words per blob", *sizes, "processes", "words/s, steady", "words/s, whole",
        "first commit, s", "CPU s per million words, steady", "whole", "memory, MiB",
    )  # fmt: skip
    for row in rows:
        steady = "-" if row.steady_words_per_s is None else f"{row.steady_words_per_s:,.0f}"
        cpu = row.steady_cpu_s_per_million_words
        sizes = () if is_narrow else (f"{row.blobs:,}", f"{row.words:,}")
        table.add_row(
            f"{row.words_per_blob:,}", *sizes, str(row.processes), steady,
            f"{row.whole_words_per_s:,.0f}", f"{row.first_s:.2f}",
            "-" if cpu is None else f"{cpu:.2f}", f"{row.whole_cpu_s_per_million_words:.2f}",
            f"{row.peak_mib:,.0f}",
        )  # fmt: skip
    return table


def _latency(rows: Sequence[LatencyAtRate]) -> Table:
    table = _table(
        f"latency of blobs of {rows[0].words_per_blob:,} words, from due time to committed result, ms",
        "blobs/s", "words/s", "p50", "p90", "p99", "p99.9", "max", "CPU, cores", "memory, MiB",
    )  # fmt: skip
    for row in rows:
        latency = row.latency
        times = ["-"] * 5
        if latency is not None:
            percentiles = latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.p99_9_ms, latency.max_ms
            times = [f"{ms:,.1f}" for ms in percentiles]
        cores = "-" if row.cpu_cores is None else f"{row.cpu_cores:.2f}"
        memory = "-" if row.peak_mib is None else f"{row.peak_mib:,.0f}"
        table.add_row(f"{row.rate:,.0f}", f"{row.words_per_s:,.0f}", *times, cores, memory)
    return table


def _costs(costs: Costs) -> str:
    cpu, process = costs.cpu, costs.process
    return (
        f"CPU time: {cpu.record_us:.1f} µs per record and {cpu.word_us:.2f} µs per word. "
        f"Elapsed time of one process: {process.record_us:.1f} µs and {process.word_us:.2f} µs."
    )


def _delays(rows: Sequence[LatencyAtDelay]) -> Table:
    table = _table(
        "latency in a slow network",
        "delay of responses, ms", "blobs/s", "p50, ms", "p90, ms", "p99, ms", "max, ms", "CPU, cores",
    )  # fmt: skip
    for row in rows:
        latency = row.at_rate.latency
        times = ["-"] * 4
        if latency is not None:
            percentiles = latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.max_ms
            times = [f"{ms:,.1f}" for ms in percentiles]
        cores = "-" if row.at_rate.cpu_cores is None else f"{row.at_rate.cpu_cores:.2f}"
        table.add_row(f"{row.delay_ms:g}", f"{row.at_rate.rate:,.0f}", *times, cores)
    return table


def _throughput_remarks(row: Throughput) -> list[str]:
    if row.steady_words_per_s is not None:
        return []
    blobs = f"{quantity(row.blobs, 'blob')} of {row.words_per_blob:,} words"
    return [f"{blobs} ended too soon for steady figures: raise --duration or --words"]


def _remarks(row: LatencyAtRate) -> list[str]:
    remarks = []
    if row.drain_s > DRAIN_S_MAX:
        remarks.append(f"above capacity: last result {row.drain_s:.1f} s after the last blob was due")
    if row.missing:
        remarks.append(f"{quantity(row.missing, 'result')} missing")
    if row.generator_is_late:
        remarks.append(f"the generator was {row.late_p99_ms:,.1f} ms late at p99; the latency includes this")
    if row.taken_p99_ms > TAKEN_MS_MAX:
        remarks.append(f"the broker took {row.taken_p99_ms:,.0f} ms at p99 to acknowledge a blob")
    return [f"{row.rate:,.0f} blobs/s: {remark}" for remark in remarks]


def _recovery(rows: Sequence[Recovery]) -> Table:
    table = _table(
        "recovery: kill -9 of all worker processes and an immediate restart; seconds from the kill",
        "blobs/s", "group", "session", "first new result", "on all partitions", "caught up",
        "longest latency",
    )  # fmt: skip
    for row in rows:
        group = f"{row.protocol}, {'static' if row.static else 'dynamic'}"
        times = row.times
        session = "unknown" if row.session_s is None else f"{row.session_s:g}"
        table.add_row(
            f"{row.rate:,.0f}", group, session, f"{times.first_new_s:.2f}", f"{times.all_partitions_s:.2f}",
            f"{times.caught_up_s:.2f}", f"{times.worst_ms / _MS:.2f}",
        )  # fmt: skip
    return table


def _scale(axis: str, rows: Sequence[Throughput]) -> Table:
    table = _table(
        f"cost per word by {_AXES[axis]}",
        _AXES[axis], "words", "processes", "words/s", "ns per word", "CPU ns per word", "memory, MiB",
    )  # fmt: skip
    for row in rows:
        table.add_row(
            f"{getattr(row, axis):,}", f"{row.words:,}", str(row.processes), f"{row.words_per_s:,.0f}",
            f"{1e9 / row.words_per_s:,.0f}", f"{row.cpu_s_per_million_words * _MS:,.0f}",
            f"{row.peak_mib:,.0f}",
        )  # fmt: skip
    return table


def _show_checks(console: Console, checks: Sequence[OutputCheck]) -> None:
    blobs = sum(checked.blobs for checked in checks)
    if all(checked.holds for checked in checks):
        totals = "" if any(checked.totals is None for checked in checks) else "; totals equal their sum"
        console.print(
            f"[green]correct[/green]: {quantity(blobs, 'blob')}, one result each, all as expected{totals}"
        )
        return
    console.print("[bold red]the output is wrong[/bold red]")
    for checked in checks:
        for sentence in checked.sentences:
            console.print("  " + sentence, markup=False)
