"""`rebuild` and `diff`: totals as of a point in time, and how two sets of totals differ."""

import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import Annotated

import orjson
import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from stream.cli.app import admin_client, err, out, quantity, settings, warn, watch_cluster
from stream.cli.listing import Column, Format, JsonOption, Rows, quiet_pipe, write_line
from stream.cli.shown import bar
from stream.cli.terminal import terminated_as_interrupted
from stream.cli.times import HELP, parse_time
from stream.config import Settings
from stream.errors import Misconfigured
from stream.supervisor.cores import processes_in_memory, usable_cores
from stream.tools.rebuild.compare import (
    Difference,
    TotalsOf,
    differences,
    totals_of_counted,
    totals_of_folder,
)
from stream.tools.rebuild.count_topic import read_counted
from stream.tools.rebuild.moment import OFFSETS, Moment, parse_offsets
from stream.tools.rebuild.partition import Rebuilt
from stream.tools.rebuild.rebuild import Rebuilding

TOP = 20
SPEED_WORDS = 100_000  # with fewer, most of the time is process startup
LIVE, NOW = "live", "now"
_COLUMNS = (
    Column("signature", least=12, flexible=True),
    Column("left", right=True),
    Column("right", right=True),
    Column("difference", right=True),
)


def rebuild(
    into: Annotated[
        Path, typer.Option("--into", help="Folder for the stores; new or empty.", show_default=False)
    ],
    moment: Annotated[
        str,
        typer.Option(
            "--at",
            help=f"`now` (the group's committed offsets); {HELP}; or PARTITION:OFFSET,… for each "
            "partition. A time selects the input before the first record at or after it.",
        ),
    ] = NOW,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="Number of processes; by default one per core.", show_default=False),
    ] = None,
) -> None:
    """Compute the totals as of a point in time from the input, in new stores.

    Workers may run at the same time; nothing is written to Kafka. If retention deleted the beginning of the
    input, the command starts from the totals in the count topic and subtracts later input.
    `anagram-stream diff` compares the folder with the live totals.
    """
    chosen = settings()
    watch_cluster(chosen)
    began = monotonic()
    rebuilt = _rebuild(chosen, parse_moment(moment), into, processes)
    seconds = max(0.001, monotonic() - began)
    records, words = sum(each.records for each in rebuilt), sum(each.words for each in rebuilt)
    speed = f", {words / seconds:,.0f} words per second" if words >= SPEED_WORDS else ""
    err.print(
        f"{quantity(len(rebuilt), 'partition')} rebuilt in {into}: {quantity(records, 'record')}, "
        f"{quantity(words, 'word')}, in {seconds:.1f} s{speed}"
    )


def diff(
    left: Annotated[
        str, typer.Argument(metavar="A", help="A folder of stores, `live`, or a time as for rebuild --at.")
    ],
    right: Annotated[str, typer.Argument(metavar="B", help="As for A.")],
    top: Annotated[
        int, typer.Option("--top", "-n", min=0, help="Show the N largest differences; 0: all.")
    ] = TOP,
    output_format: JsonOption = Format.TABLE,
) -> None:
    """Compare two sets of totals, the largest difference first.

    `live` is the count topic. A folder is one from `rebuild` or a STREAM_STATE_DIR. For a time, the totals
    are rebuilt in a temporary folder. Exit status 1 if the totals differ.
    """
    chosen = settings()
    if LIVE in {left, right} or not all(Path(each).is_dir() for each in (left, right)):
        watch_cluster(chosen)
    first, second = (read_totals_of(chosen, each) for each in (left, right))
    found_differences = differences(first, second)
    with quiet_pipe():
        print_differences(first, second, found_differences, top, output_format)
    if found_differences:
        raise typer.Exit(1)


def parse_moment(text: str) -> Moment:
    """Parse a moment.

    Raises:
        Misconfigured: the text is not a moment.
    """
    if text == NOW:
        return Moment(text)
    if OFFSETS.fullmatch(text):
        return Moment(text, offsets=parse_offsets(text))
    return Moment(text, parse_time(text, "--at"))


def read_totals_of(chosen: Settings, name: str) -> TotalsOf:
    """Return the totals of the count topic, a folder, or a moment.

    Raises:
        Misconfigured: the name is neither an existing folder nor a moment.
        StreamError: they cannot be read.
    """
    if name == LIVE:
        with bar(TextColumn(f"reading {chosen.count_topic}"), BarColumn(), MofNCompleteColumn()) as progress:
            task = progress.add_task("", total=None)
            counted = read_counted(
                chosen, lambda done, total: progress.update(task, completed=done, total=total)
            )
        return totals_of_counted(name, counted)
    if Path(name).is_dir():
        return totals_of_folder(Path(name))
    try:
        moment = parse_moment(name)
    except Misconfigured as why:
        raise Misconfigured(
            f"'{name}' is not a folder, `live`, or a time",
            "give an existing folder, `live`, `now`, a time, or PARTITION:OFFSET,…",
        ) from why
    with tempfile.TemporaryDirectory(prefix="anagram-stream-diff-") as folder:
        into = Path(folder) / "stores"
        _rebuild(chosen, moment, into, None)
        totals = totals_of_folder(into)
    return TotalsOf(name, totals.totals, totals.covers, totals.digest)


def print_differences(
    left: TotalsOf,
    right: TotalsOf,
    unequal: list[Difference],
    top: int,
    output_format: Format,
) -> None:
    """Print the largest differences and a summary."""
    shown = unequal[: top or None]
    if output_format is Format.JSON:
        fields = {"left": _side(left), "right": _side(right), "different": len(unequal)}
        lines = [
            {
                "signature": each.signature,
                "left": each.left,
                "right": each.right,
                "difference": each.difference,
            }
            for each in shown
        ]
        write_line(orjson.dumps({**fields, "differences": lines}))
        return
    rows = Rows(_COLUMNS)
    for each in shown:
        rows.add(each.signature, str(each.left), str(each.right), f"{each.difference:+d}")
    rows.flush()
    _warn_of_coverage(left, right)
    if unequal:
        verb = "differs" if len(unequal) == 1 else "differ"
        words = f"{left.totals.total():,} and {right.totals.total():,} words"
        signatures = f"{len(left.totals):,} and {len(right.totals):,} signatures"
        out.print(f"[red]{quantity(len(unequal), 'signature')} {verb}[/red]: {words}, {signatures}")
    else:
        words, signatures = quantity(left.totals.total(), "word"), quantity(len(left.totals), "signature")
        out.print(f"[green]no differences[/green]: {words}, {signatures}")


def _side(side: TotalsOf) -> dict[str, object]:
    return {
        "name": side.name,
        "signatures": len(side.totals),
        "words": side.totals.total(),
        "covers": {str(p): offset for p, offset in sorted(side.covers.items())},
        "dictionary": side.digest or None,
    }


def _warn_of_coverage(left: TotalsOf, right: TotalsOf) -> None:
    partitions = sorted(
        p for p in {*left.covers, *right.covers} if left.covers.get(p, 0) != right.covers.get(p, 0)
    )
    if partitions:
        first = partitions[0]
        more = f", and {quantity(len(partitions) - 1, 'more partition')}" if len(partitions) > 1 else ""
        warn(
            f"the two sides cover different input: partition {first} before {left.covers.get(first, 0)} and "
            f"before {right.covers.get(first, 0)}{more}"
        )
    if left.digest and right.digest and left.digest != right.digest:
        warn("the two sides were counted with different dictionaries")


def _rebuild(chosen: Settings, moment: Moment, into: Path, processes: int | None) -> list[Rebuilt]:
    rebuilding = Rebuilding(chosen, admin_client(chosen), moment)
    columns = (TextColumn("input offsets"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with bar(*columns) as progress, terminated_as_interrupted():
        task = progress.add_task("", total=None)
        sources = rebuilding.sources()
        for note in sources.notes:
            err.print(f"note: {note}")
        number = processes or min(usable_cores(), processes_in_memory())
        rebuilt = rebuilding.run(
            sources, into, number, lambda done, total: progress.update(task, completed=done, total=total)
        )
    sys.stdout.flush()
    return rebuilt
