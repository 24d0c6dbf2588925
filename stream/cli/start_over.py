"""`start-over`: counts all input again under new names, while the existing workers continue."""

import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from stream.cli.app import admin_client, err, out, quantity, settings, watch_cluster
from stream.cli.listing import Column, Format, Rows
from stream.cli.rebuild import LIVE, print_differences, read_totals_of
from stream.cli.shown import bar
from stream.config import Settings
from stream.dictionary import load_index
from stream.errors import Fatal, Refused, Retriable, StreamError
from stream.kafka import topics as kafka_topics
from stream.supervisor.cores import processes_in_memory, usable_cores
from stream.tools.audit.verify import Auditor
from stream.tools.child_environment import child_environment
from stream.tools.kafka.group_reader import GroupReader
from stream.tools.kafka.topic_creation import create_topics
from stream.tools.rebuild.compare import differences
from stream.tools.start_over import CatchUp, check_input, successor_of, switched_variables
from stream.tools.worker_process import WorkerProcess
from stream.worker.startup import retry_while_unreachable

PROGRESS_S = 1.0
TOP = 10
_NAMES = (Column("setting", least=12), Column("old", flexible=True), Column("new", flexible=True))


def start_over(
    suffix: Annotated[
        str, typer.Option("--suffix", help="Suffix of the new names, such as `v2`.", show_default=False)
    ],
    dictionary: Annotated[
        Path | None, typer.Option(help="Word list; by default the current one.", show_default=False)
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="Processes of the worker; by default one per core.", show_default=False),
    ] = None,
    accept_loss: Annotated[
        bool,
        typer.Option("--accept-loss", help="Continue even if retention deleted the beginning of the input."),
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the worker running afterwards, until Ctrl-C.")
    ] = False,
) -> None:
    """Count all input again under new names, with another dictionary or other limits.

    Creates a group and topics with the suffix, and starts a worker that counts from the beginning of the
    input. When the worker has caught up, verifies both groups, compares their totals, and prints the settings
    to switch.

    The old group and topics do not change, and their workers may run at the same time. If the command is
    interrupted, run it again: it continues where it stopped. If workers of the new group already run, it
    starts none.
    """
    chosen = settings()
    successor = successor_of(chosen, suffix, dictionary)
    watch_cluster(chosen)
    began = time.monotonic()
    _prepare(chosen, successor, accept_loss=accept_loss)
    number = processes or min(usable_cores(), processes_in_memory())
    with tempfile.TemporaryDirectory(prefix="anagram-stream-start-over-") as folder:
        env = child_environment(successor, STREAM_PROCESSES=str(number), STREAM_HTTP_PORT="0")
        worker = WorkerProcess(env, Path(folder) / "log")
        try:
            _count(successor, worker)
            err.print(f"caught up after {time.monotonic() - began:.0f} s")
            is_exact = _compare(chosen, successor)
            _print_switch(chosen, successor)
            if keep and is_exact and worker.is_running:
                _keep(worker)
        finally:
            if worker.is_running:
                worker.stop()
    if not is_exact:
        raise typer.Exit(1)


def _prepare(chosen: Settings, successor: Settings, *, accept_loss: bool) -> None:
    """Check the old topics and the input; create the new topics."""
    admin = admin_client(chosen)
    load_index(successor.dictionary)
    old = retry_while_unreachable(chosen, lambda: kafka_topics.check(admin, chosen))
    retry_while_unreachable(chosen, lambda: check_input(successor, admin, accept_loss=accept_loss))
    done = retry_while_unreachable(
        chosen, lambda: create_topics(admin, successor, None, old.result.replicas, repair=False)
    )
    for sentence in done:
        err.print(escape(sentence))


def _count(successor: Settings, worker: WorkerProcess) -> None:
    """Count until the successor keeps up with the input.

    Raises:
        Fatal: the worker stopped.
    """
    reader, catch_up = GroupReader(successor), CatchUp()
    columns = (TextColumn("input offsets"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with bar(*columns) as shown:
        task = shown.add_task("", total=None)
        while True:
            try:
                group, lags = reader.read()
            except Retriable:  # `watch_cluster` reports it
                time.sleep(PROGRESS_S)
                continue
            # A member of an earlier run leaves when its session times out.
            if not group.members and not worker.is_running:
                _check(worker)
                worker.start()
            _check(worker)
            progress = catch_up.observe(lags)
            shown.update(task, completed=progress.done, total=progress.total)
            if progress.is_caught_up:
                return
            time.sleep(PROGRESS_S)


def _check(worker: WorkerProcess) -> None:
    try:
        worker.check()
    except Fatal as why:
        raise Refused(
            str(why), "fix the cause, then run the command again: it continues where it stopped"
        ) from why


def _compare(chosen: Settings, successor: Settings) -> bool:
    """Verify both sides and print how their totals differ; return whether the successor is exact."""
    try:
        _verify(chosen)
    except StreamError as why:  # this may be the reason to start over
        err.print(f"{chosen.group_id}: [yellow]not verified[/yellow]: {escape(str(why))}")
    is_exact = _verify(successor)
    left, right = (read_totals_of(side, LIVE) for side in (chosen, successor))
    print_differences(left, right, differences(left, right), TOP, Format.TABLE)
    return is_exact


def _verify(side: Settings) -> bool:
    auditor = Auditor(side, load_index(side.dictionary))
    columns = (TextColumn(f"verifying {side.group_id}"), BarColumn(), MofNCompleteColumn())
    with bar(*columns) as shown:
        task = shown.add_task("", total=None)
        auditor.run_round((), lambda step: shown.update(task, completed=step.done, total=step.total))
    verdict = auditor.verdict
    color, word = (
        ("green", "exactly once") if verdict.holds else ("red", quantity(verdict.different, "difference"))
    )
    err.print(f"{side.group_id}: [{color}]{word}[/{color}], {quantity(verdict.checked, 'record')} checked")
    for sentence in verdict.differences:
        err.print("[red]![/red]", escape(sentence))
    return verdict.holds


def _print_switch(chosen: Settings, successor: Settings) -> None:
    out.print("To switch:")
    rows = Rows(_NAMES)
    for name, old, new in switched_variables(chosen, successor):
        rows.add(name, old, new)
    rows.flush()
    out.print("1. Start workers with the new settings; they continue where this command stopped.")
    out.print(f"2. Switch readers to {successor.result_topic} and {successor.count_topic}.")
    out.print(f"3. Stop the workers of {chosen.group_id}. Its group and topics remain until you delete them.")
    sys.stdout.flush()


def _keep(worker: WorkerProcess) -> None:
    err.print("the worker keeps running; press Ctrl-C to stop it")
    try:
        while True:
            _check(worker)
            time.sleep(PROGRESS_S)
    except KeyboardInterrupt:
        return
