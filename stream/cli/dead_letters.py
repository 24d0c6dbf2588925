"""`dead-letters`: shows rejected records and replays them. Implements `list` and `show`."""

import json
import sys
from collections import Counter
from typing import Annotated

import typer

from stream.cli import dead_letter_replay, dead_letter_summary
from stream.cli.app import err, examples, quantity, settings, watch_cluster, watch_reading
from stream.cli.dead_letter_options import with_filters
from stream.cli.dead_letter_view import print_dead_letter
from stream.cli.listing import Column, Format, JsonLinesOption, JsonOption, Rows, quiet_pipe, write_line
from stream.errors import Fatal, Misconfigured
from stream.tools.dead_letters.lines import content_of
from stream.tools.dead_letters.selection import Selection
from stream.tools.dead_letters.stored import (
    SHOWN_CHARS_MAX,
    StoredDeadLetter,
    dead_letter_at,
    dead_letters_of_input,
    read_dead_letters,
)

app = typer.Typer(
    no_args_is_help=True,
    help="Show rejected records and why they were rejected; send them to the input topic again.",
    rich_markup_mode="rich",
)


def _columns(input_topic: str) -> tuple[Column, ...]:
    """Return the columns; a terminal shows times in seconds and omits the usual input topic."""
    return (
        Column("position", least=8),
        Column("reason"),
        Column("stage", optional=3),
        Column("tries", least=5, right=True, optional=5),
        Column("failed at", least=19, optional=1, shown=lambda time: time[:19].replace("T", " ")),
        Column("input", shown=lambda position: position.removeprefix(f"{input_topic}:")),
        Column("bytes", right=True, optional=4),
        Column("message", least=20, flexible=True),
        Column("value", least=12, flexible=True, optional=2),
    )


@app.command("list", epilog=examples(
    "anagram-stream dead-letters list",
    "anagram-stream dead-letters list --reason undecodable --since 2h",
    "anagram-stream dead-letters list --follow --format json | jq .message",
))  # fmt: skip
@with_filters
def list_(
    selection: Selection,
    output_format: JsonLinesOption = Format.TABLE,
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-n", min=1, help="Stop after N dead letters.", show_default=False),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep listing new dead letters until Ctrl-C.")
    ] = False,
) -> None:
    """List dead letters, ordered within each partition, and count them by reason.

    The position identifies a dead letter for `show`. The input is the position of the rejected record. Only
    the beginning of a value is shown, with control characters escaped.

    A narrow terminal omits columns. A pipe receives all columns, separated by tabs.
    """
    _list(selection, output_format, limit, follow=follow)


def _list(selection: Selection, output_format: Format, limit: int | None, *, follow: bool) -> None:
    chosen = settings()
    rows = Rows(_columns(chosen.input_topic)) if output_format is Format.TABLE else None
    flush = rows.flush if rows else sys.stdout.flush
    by_reason: Counter[str] = Counter()
    watch = watch_reading(chosen, chosen.dead_letter_topic, follow=follow)

    def keep_following() -> bool:
        watch.check()
        flush()
        return True

    with quiet_pipe(), watch.explained():
        try:
            for letter in read_dead_letters(chosen, follow=keep_following if follow else None):
                if not selection.matches(letter):
                    continue
                by_reason[letter.reason] += 1
                if rows:
                    rows.add(*_cells(letter))
                else:
                    write_line(json.dumps(letter.as_json()))
                if by_reason.total() == limit:
                    break
        except KeyboardInterrupt:
            if not follow:
                raise
        finally:
            flush()
    if output_format is Format.TABLE:
        _summarize(by_reason, chosen.dead_letter_topic)


@app.command(epilog=examples(
    "anagram-stream dead-letters show 2:17",
    "anagram-stream dead-letters show --input 2:20411",
    "anagram-stream dead-letters show 2:17 --raw > text.bin",
))  # fmt: skip
def show(
    position: Annotated[
        str,
        typer.Argument(
            metavar="PARTITION:OFFSET", help="Position in the dead-letter topic, as `list` shows it."
        ),
    ],
    of_input: Annotated[
        bool, typer.Option("--input", help="Find the dead letter by the position of its input record.")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Write only the value, byte for byte.")] = False,
    output_format: JsonOption = Format.TABLE,
) -> None:
    """Show the headers, key and value of one dead letter."""
    chosen = settings()
    watch_cluster(chosen)
    partition, offset = _position(position)
    if of_input:
        *older, letter = dead_letters_of_input(chosen, partition, offset)
        if older:
            others = ", ".join(each.position for each in older)
            err.print(
                f"the record has {len(older) + 1} dead letters; this is the newest. The others: {others}"
            )
    else:
        letter = dead_letter_at(chosen, partition, offset)
    if raw and letter.record.value is None:
        raise Fatal(f"dead letter {letter.position} has no value: {letter.why_no_value}")
    with quiet_pipe():
        if raw:
            sys.stdout.buffer.write(letter.record.value or b"")
        elif output_format is Format.JSON:
            write_line(json.dumps(letter.as_json() | content_of(letter.record)))
        else:
            print_dead_letter(letter)


def _cells(letter: StoredDeadLetter) -> tuple[str, ...]:
    size = letter.value_bytes
    return (
        letter.position,
        letter.reason,
        letter.header("dead-letter.stage"),
        letter.header("dead-letter.attempts"),
        letter.header("dead-letter.failed-at"),
        letter.input_position,
        "-" if size is None else str(size),
        letter.message,
        letter.shown_value(SHOWN_CHARS_MAX),
    )


def _position(text: str) -> tuple[int, int]:
    partition, colon, offset = text.partition(":")
    if not (colon and partition.isdecimal() and offset.isdecimal()):
        raise Misconfigured(
            f"'{text}' is not a position",
            "give two numbers, PARTITION:OFFSET, for example: anagram-stream dead-letters show 2:17",
        )
    return int(partition), int(offset)


def _summarize(by_reason: Counter[str], topic: str) -> None:
    if not by_reason:
        err.print(f"No dead letters in topic {topic}")
        return
    parts = ", ".join(f"{count:,} {reason}" for reason, count in by_reason.most_common())
    err.print(f"{quantity(by_reason.total(), 'dead letter')}: {parts}")


app.command(epilog=examples(
    "anagram-stream dead-letters summary",
    "anagram-stream dead-letters summary --watch",
    "anagram-stream dead-letters summary --since 1d --format json | jq .kinds",
))(dead_letter_summary.summary)  # fmt: skip
app.command(epilog=examples(
    "anagram-stream dead-letters replay --dry-run",
    "anagram-stream dead-letters replay --reason text-too-large",
    "anagram-stream dead-letters replay --fingerprint 1f0c9a3e --rate 100 --yes",
))(dead_letter_replay.replay)  # fmt: skip
app.command(epilog=examples(
    "anagram-stream dead-letters export --reason undecodable > letters.jsonl",
))(dead_letter_replay.export)  # fmt: skip
app.command("import", epilog=examples(
    "anagram-stream dead-letters import letters.jsonl --dry-run",
    "anagram-stream dead-letters import letters.jsonl",
))(dead_letter_replay.import_)  # fmt: skip
