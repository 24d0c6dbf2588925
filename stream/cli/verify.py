"""`verify`: the audit, once or repeatedly."""

import signal
import threading
from pathlib import Path
from time import time
from typing import Annotated

import orjson
import structlog
import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from stream.cli.app import admin_client, out, quantity, settings
from stream.cli.listing import Format, JsonOption
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

ROUNDS_FAILED_MAX = 10  # in a row: the broker may be unavailable for a while


def verify(
    state_dir: Annotated[
        list[Path] | None,
        typer.Option(help="Also check the stores below this folder (STREAM_STATE_DIR). Repeatable."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Repeat the audit until SIGTERM or Ctrl-C, and export metrics.")
    ] = False,
    interval: Annotated[float, typer.Option(min=1, help="Seconds between two audits with --follow.")] = 30.0,
    differences: Annotated[int, typer.Option(min=0, help="List at most N differences.")] = DIFFERENCES_MAX,
    output_format: JsonOption = Format.TABLE,
) -> None:
    """Check that each input record has one correct outcome, and that totals equal the sum over all input.

    Reads the committed records of the four topics; workers may run at the same time. Exit status 1 on any
    difference. With --follow, metrics are served on STREAM_HTTP_HOST and STREAM_HTTP_PORT.
    """
    chosen = settings()
    keep_memory_small()
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
        _print(verdict)
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
    logged, failed = 0, 0
    while not stopped.is_set():
        try:
            auditor.run_round(folders)
        except (Retriable, Fatal) as why:
            failed += 1
            if isinstance(why, Refused) or failed > ROUNDS_FAILED_MAX:
                raise
            log.warning("audit waits", why=str(why))
        else:
            failed = 0
            logged = _report(auditor.verdict, metrics, logged)
        stopped.wait(interval_s)


def _report(verdict: Verdict, metrics: AuditMetrics, logged: int) -> int:
    """Set the metrics and log new differences; return the number of differences logged so far."""
    log = structlog.get_logger()
    for kind in Verdict.KINDS:
        metrics.differences.labels(kind).set(getattr(verdict, kind))
    metrics.records.set(verdict.records)
    metrics.unchecked.set(len(verdict.unchecked))
    metrics.last.set(time())
    for sentence in verdict.differences[logged:]:
        log.error("audit difference", difference=sentence)
    log.info("audited", records=verdict.records, differences=verdict.different)
    return len(verdict.differences)


def _print(verdict: Verdict) -> None:
    table = Table(box=None, padding=(0, 2), show_header=False)
    table.add_column(style="cyan")
    table.add_column(justify="right")
    for name in ("records", "words", "results", "dead_letters"):
        table.add_row(name.replace("_", " "), f"{getattr(verdict, name):,}")
    for kind in Verdict.KINDS:
        number = getattr(verdict, kind)
        table.add_row(kind, f"[red]{number:,}[/red]" if number else "0")
    out.print(table)
    for sentence in verdict.differences:
        out.print("[red]![/red]", sentence.replace("[", r"\["))
    if verdict.different > len(verdict.differences):
        out.print(f"… and {verdict.different - len(verdict.differences):,} more")
    for sentence in verdict.unchecked:
        out.print("[yellow]?[/yellow] not checked:", sentence.replace("[", r"\["))
    if verdict.holds:
        out.print(f"[green]exactly once[/green]: {quantity(verdict.records, 'input record')}, no differences")
    else:
        out.print(f"[bold red]{quantity(verdict.different, 'difference')}[/bold red]")
