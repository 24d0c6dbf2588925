"""`totals`: the number of words of each signature, over all blobs and partitions."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

from stream.cli.app import err, settings, watch_cluster
from stream.cli.listing import Column, Format, JsonLinesOption, Rows, cut_list, quiet_pipe, write_line
from stream.cli.shown import bar
from stream.core.signature import signature
from stream.core.text import words as words_of
from stream.dictionary import load_index
from stream.errors import Misconfigured
from stream.tools.kafka.totals import read_totals

_TOP = 20
_COLUMNS = (
    Column("signature", least=12, flexible=True),
    Column("total", right=True),
    Column("dictionary words", least=20, flexible=True, shorten=cut_list),
)


@dataclass(frozen=True, slots=True)
class _Row:
    signature: str
    total: int
    dictionary_words: tuple[str, ...]
    word: str = ""


def totals(
    words: Annotated[
        list[str] | None,
        typer.Argument(help="Show only the totals of these words' signatures.", show_default=False),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            "--top",
            "-n",
            min=0,
            help=f"Show the N greatest totals; 0: all. By default {_TOP}.",
            show_default=False,
        ),
    ] = None,
    output_format: JsonLinesOption = Format.TABLE,
) -> None:
    """Show how many words of each signature have been counted, the greatest total first.

    Words are shown in the order in which you give them, unless --top sorts them.

    A total is the sum of the latest values of all partitions in the count topic.
    """
    asked = [word for given in words or () for word in words_of(given)]
    if words and not asked:
        raise Misconfigured(f"no words in '{' '.join(words)}'", "give words that consist of a-z, A-Z and 0-9")
    chosen = settings()
    watch_cluster(chosen)
    anagrams = load_index(chosen.dictionary).anagrams
    with bar(TextColumn("reading {task.description}"), BarColumn(), MofNCompleteColumn()) as progress:
        task = progress.add_task(chosen.count_topic)
        summed = read_totals(chosen, lambda done, total: progress.update(task, completed=done, total=total))
    rows = (
        [_Row(key, summed[key], anagrams.get(key, ()), word) for word in asked for key in [signature(word)]]
        if words
        else [_Row(key, total, anagrams.get(key, ())) for key, total in summed.items()]
    )
    if not words or top is not None:
        rows.sort(key=lambda row: (-row.total, row.signature))
        rows = rows[: (_TOP if top is None else top) or None]
    with quiet_pipe():
        _print(rows, output_format, with_words=bool(words))
    if not summed:
        err.print(f"No totals in topic {chosen.count_topic} yet")


def _print(rows: Iterable[_Row], output_format: Format, *, with_words: bool) -> None:
    if output_format is Format.JSON:
        for row in rows:
            word = {"word": row.word} if with_words else {}
            fields = {**word, "signature": row.signature, "total": row.total, "words": row.dictionary_words}
            write_line(json.dumps(fields))
        return
    table = Rows((Column("word", least=12, flexible=True), *_COLUMNS) if with_words else _COLUMNS)
    for row in rows:
        anagrams = " ".join(row.dictionary_words) or "(not in the dictionary)"
        cells = (row.signature, str(row.total), anagrams)
        table.add(*((row.word, *cells) if with_words else cells))
    table.flush()
