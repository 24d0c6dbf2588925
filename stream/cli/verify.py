"""`verify`: the audit, once or repeatedly. The verdict is the last line."""

import signal
import threading
from pathlib import Path
from time import time
from typing import Annotated

import orjson
import structlog
import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from stream.cli.app import admin_client, out, quantity, settings, watch_cluster
from stream.cli.listing import Column, Format, JsonOption, Rows
from stream.cli.shown import bar
from stream.config import Settings
from stream.dictionary import load_index
from stream.errors import Fatal, Refused, Retriable
from stream.kafka import topics
from stream.telemetry.metrics import AuditMetrics
from stream.telemetry.server import serve
from stream.tools.audit.verdict import DIFFERENCES_MAX, Verdict
from stream.tools.audit.verify import Auditor
from stream.worker.memory import keep_memory_small
from stream.worker.startup import retry_while_unreachable

_LABELS = {"totals": "wrong totals", "stores": "wrong store entries"}
ROUNDS_FAILED_MAX = 10  # in a row: a transaction may stay open for a while


def verify(
    state_dir: Annotated[
        list[Path] | None,
        typer.Option(help="Also check the stores under this folder (a STREAM_STATE_DIR). Repeatable."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Repeat the audit until SIGTERM or Ctrl-C, and export metrics.")
    ] = False,
    interval: Annotated[float, typer.Option(min=1, help="Seconds between audits with --follow.")] = 30.0,
    differences: Annotated[
        int, typer.Option(min=0, help="Print at most N lines about differences.")
    ] = DIFFERENCES_MAX,
    output_format: JsonOption = Format.TABLE,
) -> None:
    """Check that each input record has one correct outcome, and that totals equal the sum over all input.

    Reads the committed records of the four topics; workers may run at the same time. All input below the
    group's committed offsets is checked; later input is pending. Exit status 1 on any difference. With
    --follow, metrics are served on STREAM_HTTP_HOST and STREAM_HTTP_PORT.
    """
    chosen = settings()
    keep_memory_small()
    if not follow:
        watch_cluster(chosen)
    index = load_index(chosen.dictionary)
    retry_while_unreachable(chosen, lambda: topics.check(admin_client(chosen), chosen))
    auditor = Auditor(chosen, index, differences)
    folders = state_dir or []
    if follow:
        _follow(chosen, auditor, folders, interval)
    else:
        _run_once(auditor, folders)
    verdict = auditor.verdict
    if output_format is Format.JSON:
        out.print(orjson.dumps(verdict.as_json()).decode(), markup=False)
    else:
        _print(verdict, chosen.group_id)
    if not verdict.holds:
        raise typer.Exit(1)


def _run_once(auditor: Auditor, folders: list[Path]) -> None:
    columns = (TextColumn("input records"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with bar(*columns) as progress:
        task = progress.add_task("", total=None)
        auditor.run_round(folders, lambda step: progress.update(task, completed=step.done, total=step.total))


def _follow(chosen: Settings, auditor: Auditor, folders: list[Path], interval_s: float) -> None:
    """Repeat the audit until a signal arrives."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    log, metrics = structlog.get_logger(), AuditMetrics()
    port = serve(chosen.http_host, chosen.http_port, metrics.registry)
    log.info("telemetry listens", address=f"http://{chosen.http_host}:{port}")
    watch = watch_cluster(
        chosen, *topics.names(chosen).values(), say=lambda sentence: log.warning("audit waits", why=sentence)
    )
    logged, failed = set[str](), 0
    while not stopped.is_set():
        watch.check()
        try:
            with watch.explained():
                auditor.run_round(folders)
        except (Retriable, Fatal) as why:
            failed += isinstance(why, Fatal)
            if isinstance(why, Refused) or failed > ROUNDS_FAILED_MAX:
                raise
            log.warning("audit waits", why=str(why))
        else:
            failed = 0
            _report(auditor.verdict, metrics, logged)
        stopped.wait(interval_s)


def _report(verdict: Verdict, metrics: AuditMetrics, logged: set[str]) -> None:
    """Set the metrics; log the differences that are not among the `logged` ones, and add them there."""
    log = structlog.get_logger()
    for kind in Verdict.KINDS:
        metrics.differences.labels(kind).set(getattr(verdict, kind))
    metrics.records.set(verdict.records)
    metrics.unchecked.set(len(verdict.unchecked))
    metrics.last.set(time())
    for sentence in verdict.differences:
        if sentence not in logged:
            log.error("audit difference", difference=sentence)
            logged.add(sentence)
    log.info("audited", records=verdict.records, pending=verdict.pending, differences=verdict.different)


def _print(verdict: Verdict, group_id: str) -> None:
    table = Table(box=None, padding=(0, 2), show_header=False)
    table.add_column(style="cyan")
    table.add_column(justify="right")
    for name in (*Verdict.FIGURES, "pending"):
        table.add_row(name.replace("_", " "), f"{getattr(verdict, name):,}")
    for kind in Verdict.KINDS:
        number = getattr(verdict, kind)
        table.add_row(
            _LABELS.get(kind, kind), f"[red]{number:,}[/red]" if number else _no_difference(kind, verdict)
        )
    out.print(table)
    _print_partitions(verdict)
    for sentence in verdict.differences:
        out.print("[red]![/red]", escape(sentence))
    if verdict.undescribed:
        out.print(f"… and {verdict.undescribed:,} more")
    for sentence in verdict.skipped_ranges:
        out.print("[yellow]-[/yellow]", escape(sentence))
    for sentence in verdict.unchecked:
        out.print("[yellow]?[/yellow] not checked:", escape(sentence))
    out.print(_verdict_line(verdict, group_id))


def _no_difference(kind: str, verdict: Verdict) -> str:
    """Return the text for a kind without differences: totals and stores may not have been compared."""
    reports = verdict.partitions.values()
    if kind == "totals":
        compared = [each.totals for each in reports if each.totals is not None]
        return f"0 of {sum(compared):,}" if compared else "not checked"
    if kind != "stores":
        return "0"
    if not verdict.stores_found:
        return "no stores found" if verdict.stores_found == 0 else "not checked (no --state-dir)"
    stores = sum(each.stores_compared for each in reports)
    return f"0 in {quantity(stores, 'store')}" if stores else "not checked"


def _print_partitions(verdict: Verdict) -> None:
    reports = [report for _, report in sorted(verdict.partitions.items())]
    columns: dict[str, list[int | None]] = {
        "committed": [each.committed for each in reports],
        "input": [each.records for each in reports],
        "results": [each.results for each in reports],
        "dead letters": [each.dead_letters for each in reports],
        "pending": [each.pending for each in reports],
        "skipped": [each.skipped for each in reports],
        "not checked": [each.not_checked for each in reports],
        "other settings": [each.other_settings for each in reports],
        "totals": [each.totals for each in reports],
        "stores": [each.stores_compared if each.stores_found is not None else None for each in reports],
    }
    shown = {
        name: figures
        for name, figures in columns.items()
        if name not in {"skipped", "not checked", "other settings"} or any(figures)
    }
    rows = Rows([Column(name, right=True) for name in ("partition", *shown)])
    for number, report in enumerate(reports):
        figures = [column[number] for column in shown.values()]
        rows.add(str(report.partition), *("-" if figure is None else str(figure) for figure in figures))
    rows.flush()


def _verdict_line(verdict: Verdict, group_id: str) -> str:
    checked = f"{quantity(verdict.checked, 'input record')} checked"
    if not verdict.holds:
        verdict_line = f"[bold red]{quantity(verdict.different, 'difference')}[/bold red], {checked}"
    elif not verdict.is_counted:
        nothing = "[yellow]nothing has been counted yet[/yellow]"
        verdict_line = f"{nothing}: group {escape(group_id)} has no committed offsets"
    else:
        verdict_line = f"[green]exactly once[/green]: {checked}, no differences"
    others = {
        "pending": "pending, not counted yet",
        "skipped": "skipped deliberately",
        "not_checked": "not checked",
        "other_settings": "processed under other settings",
    }
    for name, what in others.items():
        if number := getattr(verdict, name):
            verdict_line += f"; {quantity(number, 'input record')} {what}"
    return verdict_line
