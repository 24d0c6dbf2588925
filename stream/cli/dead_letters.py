"""`dead-letters list` and `dead-letters show`: what was rejected, and why."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Annotated

import typer

from stream.cli.app import err, examples, settings
from stream.cli.letter import Letter, describe_letter
from stream.cli.listing import Column, Format, Rows, quiet_pipe, write_line
from stream.cli.reading import committed, offsets, say_following
from stream.config import Settings
from stream.errors import Fatal, Misconfigured, Reason

app = typer.Typer(no_args_is_help=True, help="Show what was rejected, and why.", rich_markup_mode="rich")


def _columns(input_topic: str) -> tuple[Column, ...]:
    """Return the columns; a terminal shows no date's seconds' fraction and no usual input topic."""
    return (
        Column("position", least=8),
        Column("reason"),
        Column("stage", optional=2),
        Column("tries", least=5, right=True, optional=3),
        Column("failed at", least=19, optional=1, shown=lambda at: at[:19].replace("T", " ")),
        Column("input", shown=lambda at: at.removeprefix(f"{input_topic}:")),
        Column("bytes", right=True, optional=4),
        Column("message", least=20, flexible=True),
    )


@app.command("list", epilog=examples(
    "anagram-stream dead-letters list",
    "anagram-stream dead-letters list --reason undecodable --limit 10",
    "anagram-stream dead-letters list --follow --format json | jq .message",
))  # fmt: skip
def list_(
    reason: Annotated[Reason | None, typer.Option(help="Only those.", show_default=False)] = None,
    shape: Annotated[Format, typer.Option("--format", help="`json` is an object per line.")] = Format.TABLE,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, help="Stop after as many.", show_default=False)
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
) -> None:
    """List the dead letters, each partition's in its order, and count them by reason.

    The position is what `show` takes; the input is where the record lay. Texts are never listed.

    A narrow terminal leaves columns out, a pipe gets them all, with tabs in between.
    """
    chosen = settings()
    rows = Rows(_columns(chosen.input_topic)) if shape is Format.TABLE else None
    flush = rows.flush if rows else sys.stdout.flush
    found: Counter[str] = Counter()

    def go_on() -> bool:
        flush()
        return True

    if follow:
        say_following()
    with quiet_pipe():
        try:
            for letter in _letters(chosen, follow=go_on if follow else None):
                if reason is not None and letter.reason != reason:
                    continue
                found[letter.reason] += 1
                if rows:
                    rows.add(*letter.cells())
                else:
                    write_line(json.dumps(letter.facts()))
                if found.total() == limit:
                    break
        except KeyboardInterrupt:
            if not follow:
                raise
        finally:
            flush()
    if shape is Format.TABLE:
        _summarise(found, chosen.dead_letter_topic)


@app.command(epilog=examples(
    "anagram-stream dead-letters show 2:17",
    "anagram-stream dead-letters show --input 2:20411",
    "anagram-stream dead-letters show 2:17 --raw > text.bin",
))  # fmt: skip
def show(
    position: Annotated[
        str, typer.Argument(metavar="PARTITION:OFFSET", help="In the dead-letter topic; see `list`.")
    ],
    of_input: Annotated[
        bool, typer.Option("--input", help="The position is that of the input record.")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Write the value alone, byte for byte.")] = False,
) -> None:
    """Show one dead letter: its headers, its key, its value."""
    chosen = settings()
    at = _position(position)
    letter = _by_input(chosen, at) if of_input else _at(chosen, at)
    if raw and letter.record.value is None:
        raise Fatal(f"dead letter {letter.position} has no value: {letter.why_no_value}")
    with quiet_pipe():
        if raw:
            sys.stdout.buffer.write(letter.record.value or b"")
        else:
            describe_letter(letter)


def _letters(chosen: Settings, follow: Callable[[], bool] | None = None) -> Iterator[Letter]:
    return map(Letter, committed(chosen, chosen.dead_letter_topic, follow=follow))


def _position(text: str) -> tuple[int, int]:
    partition, colon, offset = text.partition(":")
    if not (colon and partition.isdecimal() and offset.isdecimal()):
        raise Misconfigured(
            f"{text} is no position", "give PARTITION:OFFSET, two numbers, as in: dead-letters show 2:17"
        )
    return int(partition), int(offset)


def _at(chosen: Settings, at: tuple[int, int]) -> Letter:
    """Return the dead letter at a position; only there is read."""
    topic, (partition, offset) = chosen.dead_letter_topic, at
    ranges = offsets(chosen, topic)
    if partition not in ranges:
        raise Fatal(f"there is no partition {partition} in {topic}; it has 0 to {max(ranges)}")
    first, end = ranges[partition]
    unknown = f"there is no dead letter at {partition}:{offset} in {topic}"
    if not first <= offset < end:
        held = f"holds the offsets {first} to {end - 1}" if end > first else "is empty"
        raise Fatal(f"{unknown}; partition {partition} {held}")
    start = {p: range_end for p, (_, range_end) in ranges.items()} | {partition: offset}
    record = next(committed(chosen, topic, start=start), None)
    if record is None or record.offset != offset:
        raise Fatal(f"{unknown}: the offset is that of a transaction's end, or of an aborted one")
    return Letter(record)


def _by_input(chosen: Settings, at: tuple[int, int]) -> Letter:
    """Return the newest dead letter of an input record. All are read."""
    source = f"{chosen.input_topic}:{at[0]}:{at[1]}"
    found = [letter.position for letter in _letters(chosen) if letter.input == source]
    if not found:
        raise Fatal(f"there is no dead letter of {source} in {chosen.dead_letter_topic}")
    if found[1:]:
        err.print(f"there are {len(found)} of that record; the others: {', '.join(found[:-1])}")
    return _at(chosen, _position(found[-1]))


def _summarise(found: Counter[str], topic: str) -> None:
    number = found.total()
    parts = ", ".join(f"{count:,} {reason}" for reason, count in found.most_common())
    letters = "dead letter" if number == 1 else "dead letters"
    err.print(f"{number:,} {letters}: {parts}" if number else f"no such dead letters in {topic}")
