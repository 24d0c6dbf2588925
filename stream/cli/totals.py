"""`totals`: how often words of each signature came, over all blobs and partitions."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from stream.cli.app import err, settings
from stream.cli.listing import Column, Format, Rows, cut_list, quiet_pipe, write_line
from stream.cli.reading import committed, offsets
from stream.config import Settings
from stream.core.counts import decode_total
from stream.core.signature import signature
from stream.core.text import words as words_of
from stream.dictionary import load_index
from stream.errors import Fatal, Misconfigured

_TOP = 20
_STEP_RECORDS = 5_000  # between two moves of the progress bar
_COLUMNS = (
    Column("signature", least=12, flexible=True),
    Column("total", right=True),
    Column("dictionary words", least=20, flexible=True, shorten=cut_list),
)


@dataclass(frozen=True, slots=True)
class _Row:
    signature: str
    total: int
    words: tuple[str, ...]
    asked: str = ""


def totals(
    words: Annotated[
        list[str] | None,
        typer.Argument(help="Show the totals of these words' signatures.", show_default=False),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            "--top", "-n", min=0, help=f"The greatest N, 0 for all; {_TOP} by default.", show_default=False
        ),
    ] = None,
    shape: Annotated[Format, typer.Option("--format", help="`json` is an object per line.")] = Format.TABLE,
) -> None:
    """Show how many words of each signature were counted so far, the greatest total first.

    Words are shown in the order given, unless --top sorts them.

    A total is the sum of the last values of all partitions in the count topic.
    """
    asked = [word for given in words or () for word in words_of(given)]
    if words and not asked:
        raise Misconfigured(f"there is no word in {' '.join(words)}", "words are of a-z, A-Z and 0-9")
    chosen = settings()
    known = load_index(chosen.dictionary).anagrams
    summed = _summed(chosen)
    rows = (
        [_Row(key, summed[key], known.get(key, ()), word) for word in asked for key in [signature(word)]]
        if words
        else [_Row(key, total, known.get(key, ())) for key, total in summed.items()]
    )
    if not words or top is not None:
        rows.sort(key=lambda row: (-row.total, row.signature))
        rows = rows[: (_TOP if top is None else top) or None]
    with quiet_pipe():
        _show(rows, shape, asked=bool(words))
    if not summed:
        err.print(f"no totals in {chosen.count_topic} yet")


def _show(rows: Iterable[_Row], shape: Format, *, asked: bool) -> None:
    if shape is Format.JSON:
        for row in rows:
            word = {"word": row.asked} if asked else {}
            facts = {**word, "signature": row.signature, "total": row.total, "words": row.words}
            write_line(json.dumps(facts))
        return
    table = Rows((Column("word", least=12, flexible=True), *_COLUMNS) if asked else _COLUMNS)
    for row in rows:
        same = " ".join(row.words) or ("(not in the dictionary)" if asked else "(not in this dictionary)")
        cells = (row.signature, str(row.total), same)
        table.add(*((row.asked, *cells) if asked else cells))
    table.flush()


def _summed(chosen: Settings) -> Counter[str]:
    """Return the totals by signature. What is held of each partition is bounded by the dictionary."""
    topic = chosen.count_topic
    ranges = offsets(chosen, topic)
    last: dict[int, dict[bytes, bytes]] = {partition: {} for partition in ranges}
    position = {partition: first for partition, (first, _) in ranges.items()}
    begin, end = sum(position.values()), sum(to for _, to in ranges.values())
    with _progress() as progress:
        task = progress.add_task(topic, total=end - begin)
        for number, record in enumerate(committed(chosen, topic)):
            of_partition = last.setdefault(record.partition, {})
            if record.value is None:
                of_partition.pop(record.key or b"", None)
            else:
                of_partition[record.key or b""] = record.value
            position[record.partition] = record.offset + 1
            if number % _STEP_RECORDS == 0:
                progress.update(task, completed=sum(position.values()) - begin)
    summed: Counter[str] = Counter()
    for partition, of_partition in last.items():
        for key, value in of_partition.items():
            try:
                summed[key.decode("ascii")] += decode_total(value)
            except ValueError as error:
                raise Fatal(f"partition {partition} of {topic} holds what is no total: {error}") from error
    return summed


def _progress() -> Progress:
    return Progress(
        TextColumn("reading {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
