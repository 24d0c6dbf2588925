"""`results`: what was counted in each blob."""

import sys
from typing import Annotated

import typer

from stream.cli.app import err, settings
from stream.cli.listing import Column, Format, Rows, cut_list, quiet_pipe, write_line
from stream.cli.reading import committed, offsets, say_following
from stream.core.records import AnagramResult
from stream.errors import Misconfigured
from stream.kafka.reader import StoredRecord

_COLUMNS = (
    Column("blob id", least=12, flexible=True),
    Column("words", right=True),
    Column("anagram counts", least=20, flexible=True, shorten=cut_list),
    Column("position", least=8, optional=1),
)


def results(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    shape: Annotated[
        Format, typer.Option("--format", help="`json` is a line per result, as it lies in the topic.")
    ] = Format.TABLE,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="Stop after as many.")] = None,
    from_end: Annotated[
        bool, typer.Option("--from-end", help="With --follow: only what comes from now on.")
    ] = False,
) -> None:
    """Show committed results, each partition's in its order.

    The position is `partition:offset` in the result topic.

    The table shrinks to its terminal; in a pipe nothing is shortened, with tabs in between.
    """
    if from_end and not follow:
        raise Misconfigured("--from-end shows what comes from now on", "add --follow")
    chosen = settings()
    topic = chosen.result_topic
    shown = _Shown(shape)

    def go_on() -> bool:
        shown.flush()
        return True

    if follow:
        say_following()
    with quiet_pipe():
        try:
            start = {p: end for p, (_, end) in offsets(chosen, topic).items()} if from_end else None
            for record in committed(chosen, topic, start=start, follow=go_on if follow else None):
                shown.add(record)
                if shown.number == limit:
                    break
        except KeyboardInterrupt:
            if not follow:
                raise
        finally:
            shown.flush()
    if shown.foreign:
        err.print(f"[yellow]warning:[/yellow] {shown.foreign} records of {topic} are no results; left out")
    if not shown.number and not follow:
        err.print(f"no results in {topic} yet")


class _Shown:
    """What was shown so far."""

    def __init__(self, shape: Format) -> None:
        self.number = self.foreign = 0
        self._rows = Rows(_COLUMNS) if shape is Format.TABLE else None

    def add(self, record: StoredRecord) -> None:
        value = record.value or b""
        try:
            result = AnagramResult.model_validate_json(value)
        except ValueError:
            self.foreign += 1
            return
        self.number += 1
        if self._rows is None:
            write_line(value if b"\n" not in value else result.model_dump_json().encode())
            return
        counts = sorted(result.anagram_counts.items(), key=lambda item: (-item[1], item[0]))
        self._rows.add(
            result.blob_id,
            str(result.words),
            " ".join(f"{word}={n}" for word, n in counts),
            f"{record.partition}:{record.offset}",
        )

    def flush(self) -> None:
        if self._rows is None:
            sys.stdout.flush()
        else:
            self._rows.flush()
