"""Rows for people and for programs: a table that fits its terminal, or every field in full between tabs."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stream.cli.app import out

_CHUNK_ROWS = 200  # shown at once: column widths are those of the widest so far
_GAP = 2


class Format(StrEnum):
    """How a command shows what it found."""

    TABLE = "table"
    JSON = "json"


def cut(text: str, width: int) -> str:
    """Return the text, shortened at its end to `width` cells."""
    shown = Text(text)
    shown.truncate(width, overflow="ellipsis")
    return shown.plain


def cut_list(text: str, width: int) -> str:
    """Return as many of the words as fit, and how many more there are."""
    if cell_len(text) <= width:
        return text
    words = text.split(" ")
    for kept in range(len(words) - 1, 0, -1):
        short = f"{' '.join(words[:kept])} +{len(words) - kept}"
        if cell_len(short) <= width:
            return short
    return cut(text, width)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `Rows`.

    Attributes:
        least: cells it needs; a column that is not `flexible` gets what its widest value needs.
        optional: on a narrow terminal it goes, the highest number first.
        shorten: makes a value fit.
        shown: a value as a terminal shows it; programs get all of it.
    """

    name: str
    least: int = 6
    flexible: bool = False
    optional: int = 0
    right: bool = False
    shorten: Callable[[str, int], str] = cut
    shown: Callable[[str], str] = str


class Rows:
    """A table whose rows come one by one, in bounded memory."""

    def __init__(self, columns: Sequence[Column], console: Console | None = None) -> None:
        self._columns = columns
        self._console = console or (out if sys.stdout.isatty() else None)
        self._widest = [max(column.least, len(column.name)) for column in columns]
        self._rows: list[tuple[str, ...]] = []
        self._began = False

    def add(self, *cells: str) -> None:
        """Add a row; it is shown at the latest by `flush`."""
        row = tuple(printable(cell) for cell in cells)
        if self._console:
            row = tuple(column.shown(cell) for column, cell in zip(self._columns, row, strict=True))
        self._rows.append(row)
        if len(self._rows) >= _CHUNK_ROWS:
            self.flush()

    def flush(self) -> None:
        """Show what was added."""
        if not self._rows:
            return
        if self._console is None:
            heads = [] if self._began else [tuple(column.name for column in self._columns)]
            sys.stdout.writelines("\t".join(row) + "\n" for row in [*heads, *self._rows])
            sys.stdout.flush()
        else:
            self._print(self._console)
        self._began = True
        self._rows.clear()

    def _print(self, console: Console) -> None:
        for at in range(len(self._columns)):
            self._widest[at] = max(self._widest[at], *(cell_len(row[at]) for row in self._rows))
        widths = fit(self._columns, self._widest, console.width)
        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=not self._began)
        for at, width in widths.items():
            column = self._columns[at]
            table.add_column(
                cut(column.name, width),
                width=width,
                no_wrap=True,
                justify="right" if column.right else "left",
            )
        for row in self._rows:
            cells = {at: self._columns[at].shorten(row[at], width) for at, width in widths.items()}
            table.add_row(*(Text(cell) for cell in cells.values()))
        console.print(table, soft_wrap=False)


def fit(columns: Sequence[Column], widest: Sequence[int], width: int) -> dict[int, int]:
    """Return the columns that a terminal has room for, and how wide each is.

    Flexible ones share what the others leave; the short ones among them keep their width.
    """
    chosen = list(range(len(columns)))

    def room() -> int:
        rigid = sum(widest[at] for at in chosen if not columns[at].flexible)
        return width - rigid - _GAP * len(chosen)

    while room() < sum(columns[at].least for at in chosen if columns[at].flexible):
        out_of = [at for at in chosen if columns[at].optional]
        if not out_of:
            break
        chosen.remove(max(out_of, key=lambda at: columns[at].optional))
    flexible = sorted((at for at in chosen if columns[at].flexible), key=lambda at: widest[at])
    widths = {at: widest[at] for at in chosen}
    left = room()
    for number, at in enumerate(flexible):
        widths[at] = max(columns[at].least, min(widest[at], left // (len(flexible) - number)))
        left -= widths[at]
    return widths


def printable(text: str) -> str:
    """Return a text on one line, its control characters escaped: what lies in a topic is not ours."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def write_line(line: str | bytes) -> None:
    """Write a line for a program to standard output, as it is."""
    if isinstance(line, str):
        sys.stdout.write(line + "\n")
    else:
        sys.stdout.buffer.write(line + b"\n")


@contextmanager
def quiet_pipe() -> Iterator[None]:
    """Leave in silence when nobody reads on: `anagram-stream results | head`."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None
