"""Reads dead letters from their topic, by position or by the position of the input record."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cached_property
from hashlib import blake2s
from typing import Any

from stream.config import Settings
from stream.core.replay import read_replayed, replays_of
from stream.core.text import printable
from stream.errors import Fatal
from stream.tools.kafka.committed import committed_ranges, read_committed
from stream.tools.kafka.topic_reader import StoredRecord

SHOWN_CHARS_MAX = 60  # of a value, in a list
_UTF8_BYTES_MAX = 4  # of a character
UNKNOWN = "?"  # for a missing header: another program wrote the record


class StoredDeadLetter:
    """A record of the dead-letter topic, with its headers decoded."""

    def __init__(self, record: StoredRecord) -> None:
        self.record = record

    @cached_property
    def headers(self) -> dict[str, str]:
        return {name: (value or b"").decode(errors="replace") for name, value in self.record.headers}

    def header(self, name: str) -> str:
        return self.headers.get(name, UNKNOWN)

    @property
    def position(self) -> str:
        """`partition:offset` in the dead-letter topic."""
        return f"{self.record.partition}:{self.record.offset}"

    @property
    def reason(self) -> str:
        """Why the input record was rejected."""
        return self.header("dead-letter.reason")

    @property
    def input_position(self) -> str:
        """`topic:partition:offset` of the input record."""
        return ":".join(self.header(f"__streams.errors.{part}") for part in ("topic", "partition", "offset"))

    @property
    def value_bytes(self) -> int | None:
        """Size of the rejected value; None if the input record had no value."""
        original_bytes = _number(self.headers.get("dead-letter.value-bytes"))
        if original_bytes is not None:
            return original_bytes
        return None if self.record.value is None else len(self.record.value)

    @property
    def why_no_value(self) -> str:
        """Why the dead letter has no value."""
        if "dead-letter.value-bytes" in self.headers:
            return (
                f"its {self.value_bytes:,} bytes exceed the limit of the topic; the original is at "
                f"{self.input_position}"
            )
        return "the input record had no value"

    @property
    def message(self) -> str:
        """What was wrong, in words."""
        return self.header("__streams.errors.message")

    @property
    def failed_at_ms(self) -> int:
        """When the record was rejected, in ms since 1970; the record's timestamp if the header is missing."""
        try:
            return int(datetime.fromisoformat(self.headers["dead-letter.failed-at"]).timestamp() * 1000)
        except (KeyError, ValueError, OverflowError):
            return self.record.timestamp_ms

    @property
    def fingerprint(self) -> str:
        """Eight hex digits, equal for rejections of the same kind: numbers in the message are ignored."""
        names = ("dead-letter.reason", "dead-letter.stage", "__streams.errors.exception")
        kind = "\0".join([*map(self.header, names), generalized(self.message)])
        return blake2s(kind.encode(), digest_size=4).hexdigest()

    def shown_value(self, chars_max: int) -> str:
        """Return the first characters of the value; unprintable ones are escaped."""
        start = (self.record.value or b"")[: _UTF8_BYTES_MAX * (chars_max + 1)]
        text = start.decode(errors="backslashreplace")
        return printable(text[:chars_max]) + ("…" if len(text) > chars_max else "")

    def as_json(self) -> dict[str, Any]:
        """Return the metadata for programs; unknown values are None."""
        known = self.headers.get
        return {
            "partition": self.record.partition,
            "offset": self.record.offset,
            "reason": known("dead-letter.reason"),
            "stage": known("dead-letter.stage"),
            "attempts": _number(known("dead-letter.attempts")),
            "failed_at": known("dead-letter.failed-at"),
            "input": {
                "topic": known("__streams.errors.topic"),
                "partition": _number(known("__streams.errors.partition")),
                "offset": _number(known("__streams.errors.offset")),
            },
            "message": known("__streams.errors.message"),
            "exception": known("__streams.errors.exception"),
            "group": known("dead-letter.group"),
            "version": known("dead-letter.version"),
            "value_bytes": self.value_bytes,
            "value_start": self.shown_value(SHOWN_CHARS_MAX),
            "fingerprint": self.fingerprint,
            "replays": replays_of(self.record.headers),
        }


def read_dead_letters(
    settings: Settings, follow: Callable[[], bool] | None = None
) -> Iterator[StoredDeadLetter]:
    """Yield all committed dead letters; `follow` and errors as for `read_committed`.

    The records that list replayed dead letters are left out.
    """
    for record in read_committed(settings, settings.dead_letter_topic, follow=follow):
        if read_replayed(record.headers) is None:
            yield StoredDeadLetter(record)


def dead_letter_at(settings: Settings, partition: int, offset: int) -> StoredDeadLetter:
    """Return the dead letter at a position; only that record is read.

    Raises:
        Refused: the broker is unavailable.
        Fatal: the topic is missing, or has no dead letter at that position.
    """
    topic = settings.dead_letter_topic
    ranges = committed_ranges(settings, topic)
    if partition not in ranges:
        raise Fatal(f"{topic} has no partition {partition}; its partitions are 0 to {max(ranges)}")
    first, end = ranges[partition]
    missing = f"no dead letter at {partition}:{offset} in {topic}"
    if not first <= offset < end:
        content = f"has the offsets {first} to {end - 1}" if end > first else "is empty"
        raise Fatal(f"{missing}; partition {partition} {content}")
    start = {other: range_end for other, (_, range_end) in ranges.items()} | {partition: offset}
    record = next(read_committed(settings, topic, start=start), None)
    if record is None or record.offset != offset:
        raise Fatal(f"{missing}: the offset belongs to a transaction marker or an aborted record")
    return StoredDeadLetter(record)


def dead_letters_of_input(settings: Settings, partition: int, offset: int) -> list[StoredDeadLetter]:
    """Return the dead letters of an input record, newest last; this reads the whole topic.

    Raises:
        Refused: the broker is unavailable.
        Fatal: the topic is missing, or has no dead letter of that record.
    """
    position = f"{settings.input_topic}:{partition}:{offset}"
    letters = [letter for letter in read_dead_letters(settings) if letter.input_position == position]
    if not letters:
        raise Fatal(f"no dead letter of {position} in {settings.dead_letter_topic}")
    return letters


def generalized(message: str) -> str:
    """Return the message with each number replaced by `#`."""
    return re.sub(r"\d+", "#", message)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
