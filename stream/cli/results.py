"""`results`: the anagram counts of each blob."""

import sys
from typing import Annotated

import typer

from stream.cli.app import err, quantity, settings, watch_reading
from stream.cli.listing import Column, Format, Rows, cut_list, quiet_pipe, write_line
from stream.core.records import AnagramResult
from stream.errors import Misconfigured
from stream.tools.kafka.committed import committed_ranges, read_committed
from stream.tools.kafka.topic_reader import StoredRecord

_COLUMNS = (
    Column("blob id", least=12, flexible=True),
    Column("words", right=True),
    Column("anagram counts", least=20, flexible=True, shorten=cut_list),
    Column("position", least=8, optional=1),
)


def results(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep showing new results until Ctrl-C.")
    ] = False,
    output_format: Annotated[
        Format, typer.Option("--format", help="Output format; `json` prints each result as in the topic.")
    ] = Format.TABLE,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="Stop after N results.")] = None,
    from_end: Annotated[
        bool, typer.Option("--from-end", help="With --follow: show only new results.")
    ] = False,
) -> None:
    """Show committed results, ordered within each partition.

    The position is `partition:offset` in the result topic.

    The table fits the terminal. A pipe receives all values in full, separated by tabs.
    """
    if from_end and not follow:
        raise Misconfigured("--from-end needs --follow", "add --follow, or omit --from-end")
    chosen = settings()
    topic = chosen.result_topic
    output = _Output(output_format)
    watch = watch_reading(chosen, topic, follow=follow)

    def keep_following() -> bool:
        watch.check()
        output.flush()
        return True

    with quiet_pipe(), watch.explained():
        try:
            start = {p: end for p, (_, end) in committed_ranges(chosen, topic).items()} if from_end else None
            for record in read_committed(
                chosen, topic, start=start, follow=keep_following if follow else None
            ):
                output.add(record)
                if output.number == limit:
                    break
        except KeyboardInterrupt:
            if not follow:
                raise
        finally:
            output.flush()
    if output.foreign:
        err.print(
            f"[yellow]warning:[/yellow] skipped {quantity(output.foreign, 'foreign record')} in {topic}"
        )
    if not output.number and not follow:
        err.print(f"No results in topic {topic} yet")


class _Output:
    """Prints results, and counts them and foreign records."""

    def __init__(self, output_format: Format) -> None:
        self.number = self.foreign = 0
        self._rows = Rows(_COLUMNS) if output_format is Format.TABLE else None

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
