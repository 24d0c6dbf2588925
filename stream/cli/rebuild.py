"""`rebuild` and `diff`: totals as of a moment, and how two sets of totals differ."""

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
SPEED_WORDS = 100_000  # of fewer words, the start of the processes takes most of the time
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
            help=f"`now` for the group's committed offsets; {HELP}; or PARTITION:OFFSET,… for each "
            "partition. A time means before the first record of this time or later.",
        ),
    ] = NOW,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="Number of processes; by default the usable cores.", show_default=False),
    ] = None,
) -> None:
    """Compute the totals as of a moment from the input, into stores beside those of the workers.

    Workers may run meanwhile; nothing is written to Kafka. Where retention deleted the beginning of the
    input, the totals of the count topic are the base, and what came after the moment is subtracted.
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
        f"{quantity(len(rebuilt), 'partition')} rebuilt in {into}: {quantity(records, 'record')}, {words:,} "
        f"words, in {seconds:.1f} s{speed}"
    )


def diff(
    left: Annotated[
        str, typer.Argument(metavar="A", help="A folder of stores, `live`, or a moment as for rebuild --at.")
    ],
    right: Annotated[str, typer.Argument(metavar="B", help="The same.")],
    top: Annotated[
        int, typer.Option("--top", "-n", min=0, help="Show the N largest differences, 0 for all.")
    ] = TOP,
    output_format: JsonOption = Format.TABLE,
) -> None:
    """Compare two sets of totals, the largest difference first.

    `live` is the count topic. A folder is that of `rebuild` or a STREAM_STATE_DIR. For a moment the totals
    are rebuilt in a temporary folder. Exit status 1 if they differ.
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
    """Read a moment.

    Raises:
        Misconfigured: it is none.
    """
    if text == NOW:
        return Moment(text)
    if OFFSETS.fullmatch(text):
        return Moment(text, offsets=parse_offsets(text))
    return Moment(text, parse_time(text, "--at"))


def read_totals_of(chosen: Settings, name: str) -> TotalsOf:
    """Return the totals of the count topic, a folder, or a moment.

    Raises:
        Misconfigured: there is no such folder, and it is no moment.
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
            f"{name} is neither a folder nor `live` nor a moment",
            "name a folder that exists, `live`, `now`, a time, or PARTITION:OFFSET,…",
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
    words = f"{left.totals.total():,} and {right.totals.total():,} words"
    signatures = f"{len(left.totals):,} and {len(right.totals):,} signatures"
    if unequal:
        out.print(f"[red]{quantity(len(unequal), 'signature')} differ[/red]: {words}, {signatures}")
    else:
        out.print(f"[green]no difference[/green]: {words}, {signatures}")


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
        more = f", and {len(partitions) - 1} more partitions" if len(partitions) > 1 else ""
        warn(
            f"the two cover different input: partition {first} before {left.covers.get(first, 0)} and before "
            f"{right.covers.get(first, 0)}{more}"
        )
    if left.digest and right.digest and left.digest != right.digest:
        warn("the two were counted with different dictionaries")


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
