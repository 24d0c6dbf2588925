"""Prints rows: on a terminal as a table that fits its width, otherwise in full, separated by tabs."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stream.cli.app import out
from stream.cli.terminal import discard_output
from stream.core.text import printable

_CHUNK_ROWS = 200  # printed at a time; the column widths are those of all rows so far
_GAP = 2


class Format(StrEnum):
    """Output format of a command."""

    TABLE = "table"
    JSON = "json"


JsonOption = Annotated[Format, typer.Option("--format", help="Output format; `json` prints one object.")]
JsonLinesOption = Annotated[
    Format, typer.Option("--format", help="Output format; `json` prints one object per line.")
]


def cut(text: str, width: int) -> str:
    """Return the text, truncated to `width` cells."""
    shown = Text(text)
    shown.truncate(width, overflow="ellipsis")
    return shown.plain


def cut_list(text: str, width: int) -> str:
    """Return as many words as fit, and the number of the others as `+N`."""
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
        least: minimum width in cells; a column that is not `flexible` is as wide as its widest value.
        optional: not 0 if a narrow terminal omits the column; the highest number is omitted first.
        shorten: fits a value into a width.
        shown: formats a value for a terminal; pipes get the full value.
    """

    name: str
    least: int = 6
    flexible: bool = False
    optional: int = 0
    right: bool = False
    shorten: Callable[[str, int], str] = cut
    shown: Callable[[str], str] = str


class Rows:
    """A table that takes rows one by one and uses bounded memory."""

    def __init__(self, columns: Sequence[Column], console: Console | None = None) -> None:
        self._columns = columns
        self._console = console or (out if sys.stdout.isatty() else None)
        self._widest = [max(column.least, len(column.name)) for column in columns]
        self._rows: list[tuple[str, ...]] = []
        self._header_shown = False

    def add(self, *cells: str) -> None:
        """Add a row; it is printed by `flush` at the latest."""
        row = tuple(printable(cell) for cell in cells)
        if self._console:
            row = tuple(column.shown(cell) for column, cell in zip(self._columns, row, strict=True))
        self._rows.append(row)
        if len(self._rows) >= _CHUNK_ROWS:
            self.flush()

    def flush(self) -> None:
        """Print the rows added since the last flush."""
        if not self._rows:
            return
        if self._console is None:
            heads = [] if self._header_shown else [tuple(column.name for column in self._columns)]
            sys.stdout.writelines("\t".join(row) + "\n" for row in [*heads, *self._rows])
            sys.stdout.flush()
        else:
            self._print(self._console)
        self._header_shown = True
        self._rows.clear()

    def _print(self, console: Console) -> None:
        for number in range(len(self._columns)):
            self._widest[number] = max(self._widest[number], *(cell_len(row[number]) for row in self._rows))
        widths = fit(self._columns, self._widest, console.width)
        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=not self._header_shown)
        for number, width in widths.items():
            column = self._columns[number]
            table.add_column(
                cut(column.name, width),
                width=width,
                no_wrap=True,
                justify="right" if column.right else "left",
            )
        for row in self._rows:
            cells = [self._columns[number].shorten(row[number], width) for number, width in widths.items()]
            table.add_row(*map(Text, cells))
        console.print(table, soft_wrap=False)


def fit(columns: Sequence[Column], widest: Sequence[int], width: int) -> dict[int, int]:
    """Return the numbers of the columns that fit into `width`, and the width of each.

    Flexible columns share the remaining width; short ones among them keep their own width.
    """
    chosen = list(range(len(columns)))

    def room() -> int:
        rigid = sum(widest[number] for number in chosen if not columns[number].flexible)
        return width - rigid - _GAP * len(chosen)

    while room() < sum(columns[number].least for number in chosen if columns[number].flexible):
        optional = [number for number in chosen if columns[number].optional]
        if not optional:
            break
        chosen.remove(max(optional, key=lambda number: columns[number].optional))
    flexible = sorted(
        (number for number in chosen if columns[number].flexible), key=lambda number: widest[number]
    )
    widths = {number: widest[number] for number in chosen}
    left = room()
    for done, number in enumerate(flexible):
        widths[number] = max(columns[number].least, min(widest[number], left // (len(flexible) - done)))
        left -= widths[number]
    return widths


def write_line(line: str | bytes) -> None:
    """Write a line to standard output unchanged, for programs."""
    if isinstance(line, str):
        sys.stdout.write(line + "\n")
    else:
        sys.stdout.buffer.write(line + b"\n")


@contextmanager
def quiet_pipe() -> Iterator[None]:
    """Exit silently if the reader of the pipe has exited: `anagram-stream results | head`."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
        raise typer.Exit from None
