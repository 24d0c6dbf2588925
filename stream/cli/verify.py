"""`verify`: the audit, once or for ever."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from time import time
from typing import Annotated

import orjson
import structlog
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from stream.cli.app import admin_client, err, out, settings
from stream.cli.listing import Format
from stream.config import Settings
from stream.dictionary import load_index
from stream.errors import Fatal, Refused, Retriable
from stream.kafka import topics
from stream.telemetry.metrics import AuditMetrics
from stream.telemetry.server import serve
from stream.tools.audit.verdict import DIFFERENCES_MAX, Verdict
from stream.tools.audit.verify import Auditor
from stream.tools.audit.verify import Progress as Step
from stream.worker.memory import keep_memory_small
from stream.worker.startup import retry_while_unreachable

ROUNDS_FAILED_MAX = 10  # in a row: the broker may be away for a while


def verify(
    state_dir: Annotated[
        list[Path] | None,
        typer.Option(help="Look into the stores below this folder, too (STREAM_STATE_DIR). Repeatable."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on, and export the outcome as metrics.")
    ] = False,
    interval: Annotated[float, typer.Option(min=1, help="Seconds between two rounds of --follow.")] = 30.0,
    differences: Annotated[int, typer.Option(min=0, help="So many are said one by one.")] = DIFFERENCES_MAX,
    output: Annotated[Format, typer.Option("--format", help="What is printed.")] = Format.TABLE,
) -> None:
    """Show that every input record has exactly one outcome, each is right, and the totals are their fold.

    Reads what is committed in the four topics; workers may go on meanwhile. Exit status 1 on any difference.
    With --follow metrics are on STREAM_HTTP_HOST and STREAM_HTTP_PORT.
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
        _with_progress(lambda tell: auditor.run_round(folders, tell))
    verdict = auditor.verdict
    if output is Format.JSON:
        out.print(orjson.dumps(verdict.as_json()).decode(), markup=False)
    else:
        _show(verdict)
    if not verdict.holds:
        raise typer.Exit(1)


def _with_progress(run: Callable[[Callable[[Step], None]], None]) -> None:
    columns = (TextColumn("input records"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("", total=None)
        run(lambda step: progress.update(task, completed=step.done, total=step.total))


def _follow(chosen: Settings, auditor: Auditor, folders: list[Path], interval_s: float) -> None:
    """Audit round after round, until a signal comes."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    log, metrics = structlog.get_logger(), AuditMetrics()
    port = serve(chosen.http_host, chosen.http_port, metrics.registry)
    log.info("telemetry listens", address=f"http://{chosen.http_host}:{port}")
    said, failed = 0, 0
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
            said = _tell(auditor.verdict, metrics, said)
        stopped.wait(interval_s)


def _tell(verdict: Verdict, metrics: AuditMetrics, said: int) -> int:
    """Log what is new, set the metrics; return how many sentences were said so far."""
    log = structlog.get_logger()
    for kind in Verdict.KINDS:
        metrics.differences.labels(kind).set(getattr(verdict, kind))
    metrics.records.set(verdict.records)
    metrics.unchecked.set(len(verdict.unchecked))
    metrics.last.set(time())
    for sentence in verdict.differences[said:]:
        log.error("audit difference", difference=sentence)
    log.info("audited", records=verdict.records, differences=verdict.different)
    return len(verdict.differences)


def _show(verdict: Verdict) -> None:
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
        out.print(f"[green]exactly once[/green]: {verdict.records:,} input records, no difference")
    else:
        out.print(f"[bold red]{verdict.different:,} differences[/bold red]")
