"""`dead-letters summary`: the number of dead letters of each kind."""

import json
import sys
from time import monotonic
from typing import Annotated

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stream.cli.app import err, out, quantity, settings, watch_reading
from stream.cli.dead_letter_options import with_filters
from stream.cli.listing import Column, Format, JsonOption, Rows, quiet_pipe, write_line
from stream.cli.shown import Shown
from stream.cli.times import shown_time
from stream.core.text import printable
from stream.tools.dead_letters.selection import Selection
from stream.tools.dead_letters.summary import Kind, Summary
from stream.tools.kafka.committed import read_committed

_REDRAW_S = 1.0
_COLUMNS = (
    Column("reason"),
    Column("stage", optional=3),
    Column("fingerprint"),
    Column("number", right=True),
    Column("replayed", right=True),
    Column("first seen", least=19, optional=2),
    Column("last seen", least=19, optional=1),
    Column("example"),
    Column("error", least=20, flexible=True, optional=4),
)


@with_filters
def summary(
    selection: Selection,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Keep counting and refresh until Ctrl-C.")
    ] = False,
    output_format: JsonOption = Format.TABLE,
) -> None:
    """Count the dead letters by reason, stage and fingerprint, the most frequent first.

    Dead letters whose errors differ only in numbers have the same fingerprint. Times are in UTC.
    """
    chosen = settings()
    topic = chosen.dead_letter_topic
    counted = Summary(selection)
    cluster = watch_reading(chosen, topic, follow=watch)
    view = _View(counted, output_format)

    def keep_following() -> bool:
        cluster.check()
        view.update()
        return True

    with quiet_pipe(), cluster.explained(), Shown(view.live, on=watch and view.is_live):
        try:
            for record in read_committed(chosen, topic, follow=keep_following if watch else None):
                counted.add(record)
        except KeyboardInterrupt:
            if not watch:
                raise
            return
        view.print()
    if output_format is Format.TABLE:
        total = f"{quantity(counted.number, 'dead letter')} of {quantity(len(counted.kinds), 'kind')}"
        err.print(total if counted.kinds else f"No dead letters in topic {topic}")


class _View:
    """Shows the counts as they change: redrawn in place on a terminal, otherwise printed repeatedly."""

    def __init__(self, counted: Summary, output_format: Format) -> None:
        self._counted = counted
        self._format = output_format
        self.live = Live(console=out, auto_refresh=False, vertical_overflow="crop")
        self._shown_at, self._shown = 0.0, -1

    @property
    def is_live(self) -> bool:
        return out.is_terminal and self._format is Format.TABLE

    def update(self) -> None:
        """Show the counts if they changed, at most once a second."""
        number = sum(kind.number + kind.replayed for kind in self._counted.kinds)
        if number == self._shown or monotonic() - self._shown_at < _REDRAW_S:
            return
        self._shown_at, self._shown = monotonic(), number
        if self.is_live:
            self.live.update(_table(self._counted), refresh=True)
        else:
            self.print()

    def print(self) -> None:
        """Print the counts."""
        if self._format is Format.JSON:
            write_line(json.dumps({"kinds": [kind.as_json() for kind in _sorted(self._counted)]}))
            sys.stdout.flush()
            return
        rows = Rows(_COLUMNS)
        for kind in _sorted(self._counted):
            rows.add(*_cells(kind))
        rows.flush()


def _sorted(counted: Summary) -> list[Kind]:
    return sorted(counted.kinds, key=lambda kind: (-kind.number, kind.reason, kind.fingerprint))


def _cells(kind: Kind) -> tuple[str, ...]:
    return (
        kind.reason,
        kind.stage,
        kind.fingerprint,
        str(kind.number),
        str(kind.replayed),
        shown_time(kind.first_ms),
        shown_time(kind.last_ms),
        kind.example,
        kind.error,
    )


def _table(counted: Summary) -> Table:
    table = Table(*(column.name for column in _COLUMNS), box=None, pad_edge=False)
    for kind in _sorted(counted):
        table.add_row(*(Text(printable(cell)) for cell in _cells(kind)))
    return table
