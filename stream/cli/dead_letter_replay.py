"""`dead-letters replay`, `export` and `import`: send the records of dead letters again, each exactly once."""

import math
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from stream.cli.app import admin_client, err, quantity, say, settings, watch_cluster
from stream.cli.dead_letter_options import with_filters
from stream.cli.listing import Column, Format, JsonOption, Rows, quiet_pipe, write_line
from stream.cli.shown import bar
from stream.cli.terminal import terminated_as_interrupted
from stream.config import Settings
from stream.errors import Fatal, Misconfigured, Refused
from stream.kafka import topics as kafka_topics
from stream.kafka.topics import Topics
from stream.tools.dead_letters import exchange
from stream.tools.dead_letters.candidates import Tally
from stream.tools.dead_letters.exchange import Import
from stream.tools.dead_letters.lines import encode_letter
from stream.tools.dead_letters.replay import Replay
from stream.tools.dead_letters.selection import Selection
from stream.tools.dead_letters.sending import REPLAYS_MAX, ReplayLimits
from stream.worker.startup import retry_while_unreachable

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, but send nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Send without asking for confirmation.")]
Max = Annotated[
    int | None, typer.Option("--max", min=1, help="Send at most N dead letters.", show_default=False)
]
Rate = Annotated[
    float | None,
    typer.Option(
        "--rate", help="Dead letters per second; by default as fast as possible.", show_default=False
    ),
]
ReplaysMax = Annotated[
    int,
    typer.Option(
        min=1, help="Leave out records that were already replayed N times: a replay does not fix them."
    ),
]


@with_filters
def replay(  # noqa: PLR0913, PLR0917 - one for each option
    selection: Selection,
    dry_run: DryRun = False,
    yes: Yes = False,
    letters_max: Max = None,
    rate: Rate = None,
    replays_max: ReplaysMax = REPLAYS_MAX,
    output_format: JsonOption = Format.TABLE,
) -> None:
    """Send the records of dead letters to the input topic again, each exactly once.

    Without filters, sends all dead letters of this group that have not been replayed. With filters, the
    others can be replayed later. The same transaction sends records and marks them as replayed, so a replay
    that was killed continues where it stopped.

    Each record keeps its original key, value, timestamp, headers and partition; the header
    `dead-letter.replays` counts the replays. Exit status 1 if a selected dead letter was left out.
    """
    limits = _limits(letters_max, rate, replays_max)
    chosen, topics = _connect()
    command = Replay(chosen, admin_client(chosen), topics, selection, limits)
    _run(command, chosen, output_format, dry_run=dry_run, yes=yes)


@with_filters
def export(
    selection: Selection,
) -> None:
    """Write dead letters that have not been replayed to standard output, for manual repair.

    Each line is a JSON object; `import` sends the lines to the input topic. Key, value and headers are text,
    or base64 in a field that ends in `_base64` if they are not UTF-8. A line has the field `left_out` if the
    original record is incomplete.
    """
    chosen, topics = _connect()
    number = incomplete = 0
    with quiet_pipe():
        for letter in exchange.export(chosen, admin_client(chosen), topics, selection, say):
            write_line(encode_letter(letter))
            number, incomplete = number + 1, incomplete + (letter.left_out is not None)
    incomplete_text = f", {incomplete:,} of them with the field left_out" if incomplete else ""
    err.print(f"{quantity(number, 'dead letter')} exported{incomplete_text}")


def import_(  # noqa: PLR0913, PLR0917 - one for each option
    path: Annotated[Path, typer.Argument(metavar="FILE", help="File from `export`; `-` is standard input.")],
    dry_run: DryRun = False,
    yes: Yes = False,
    letters_max: Max = None,
    rate: Rate = None,
    replays_max: ReplaysMax = REPLAYS_MAX,
    output_format: JsonOption = Format.TABLE,
) -> None:
    """Send the records of exported dead letters to the input topic, each exactly once.

    A dead letter that was already replayed or imported is not sent again. If a line is invalid, nothing is
    sent. Exit status 1 if a line was left out.
    """
    limits = _limits(letters_max, rate, replays_max)
    chosen, topics = _connect()
    with _readable(path) as file:
        command = Import(chosen, admin_client(chosen), topics, file, limits)
        retry_while_unreachable(chosen, command.check)
        _run(command, chosen, output_format, dry_run=dry_run, yes=yes)


def _limits(letters_max: int | None, rate: float | None, replays_max: int) -> ReplayLimits:
    if rate is not None and not 0 < rate < math.inf:
        raise Misconfigured("--rate must be above 0", "give a rate above 0, or omit --rate")
    return ReplayLimits(letters_max, rate, replays_max)


def _connect() -> tuple[Settings, Topics]:
    chosen = settings()
    watch_cluster(chosen)
    admin = admin_client(chosen)
    return chosen, retry_while_unreachable(chosen, lambda: kafka_topics.check(admin, chosen))


def _run(
    command: Replay | Import, chosen: Settings, output_format: Format, *, dry_run: bool, yes: bool
) -> None:
    """Show what would be sent, ask, send, and report."""
    planned = None
    if dry_run or not yes:
        tally = command.preview(say)
        planned = tally.selected.total()
        _print_plan(tally, output_format, dry_run=dry_run)
        if not (dry_run or planned) and output_format is Format.JSON:
            _report(Counter(), tally, output_format)
        if dry_run or not _is_confirmed(planned, chosen):
            raise typer.Exit(bool(tally.left_out))
    columns = (TextColumn("dead letters sent"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with bar(*columns) as progress, terminated_as_interrupted():
        task = progress.add_task("", total=planned)
        command.run(lambda sent: progress.update(task, completed=sent))
    _report(command.sending.sent, command.tally, output_format)


def _is_confirmed(planned: int, chosen: Settings) -> bool:
    """Ask whether to send; return False if there is nothing to send.

    Raises:
        Refused: there is no terminal to ask on.
        Fatal: the answer is no.
    """
    if not planned:
        return False
    if not (sys.stdin.isatty() and err.is_terminal):
        raise Refused("no terminal to ask on; nothing was sent", "run the command again with --yes")
    question = f"Send {quantity(planned, 'dead letter')} to {chosen.input_topic}?"
    if not typer.confirm(question, err=True):
        raise Fatal("nothing was sent")
    return True


def _print_plan(tally: Tally, output_format: Format, *, dry_run: bool) -> None:
    if output_format is Format.JSON:
        if dry_run:
            _print_json({"to_send": tally.selected}, tally, {"replayed_before": tally.replayed})
        return
    rows = Rows((Column("to send", right=True), Column("reason", flexible=True)))
    for reason, number in tally.selected.most_common():
        rows.add(str(number), reason)
    rows.flush()
    if tally.replayed:
        err.print(f"{quantity(tally.replayed, 'dead letter')} already replayed")
    _name_left_out(tally)
    if not tally.selected:
        err.print("nothing to send")


def _report(sent: Counter[str], tally: Tally, output_format: Format) -> None:
    if output_format is Format.JSON:
        _print_json({"sent": sent}, tally, {})
    else:
        parts = ", ".join(f"{number:,} {reason}" for reason, number in sent.most_common())
        err.print(f"{quantity(sent.total(), 'dead letter')} sent" + (f": {parts}" if parts else ""))
        _name_left_out(tally)
    if tally.left_out:
        raise typer.Exit(1)


def _name_left_out(tally: Tally) -> None:
    if tally.others and not tally.selected:
        err.print(f"{quantity(tally.others, 'dead letter')} from other groups or input topics")
    for why, number in tally.left_out.items():
        example = f"(for example {tally.examples[why]})"
        err.print(f"[yellow]left out:[/yellow] {number:,} {escape(example)}: {escape(why.value)}")


def _print_json(numbers: Mapping[str, Counter[str]], tally: Tally, others: Mapping[str, int]) -> None:
    left_out = [
        {"why": why.value, "number": number, "example": tally.examples[why]}
        for why, number in tally.left_out.items()
    ]
    by_reason = {name: dict(each) for name, each in numbers.items()}
    write_line(orjson.dumps({**by_reason, **others, "left_out": left_out}))


@contextmanager
def _readable(path: Path) -> Iterator[Path]:
    """Return a file that can be read several times: standard input and pipes are copied.

    Raises:
        Misconfigured: the file cannot be read.
    """
    with tempfile.NamedTemporaryFile(prefix="dead-letters-") as copy:
        try:
            if path.is_file():
                path.open("rb").close()
            elif str(path) == "-":
                shutil.copyfileobj(sys.stdin.buffer, copy)
            else:  # a pipe
                with path.open("rb") as pipe:
                    shutil.copyfileobj(pipe, copy)
            copy.flush()
        except OSError as error:
            why = f"{path} cannot be read: {error.strerror}"
            raise Misconfigured(why, "give a file from: anagram-stream dead-letters export") from error
        yield path if path.is_file() else Path(copy.name)
