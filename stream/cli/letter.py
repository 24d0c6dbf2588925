"""A dead letter as people and programs see it."""

import sys
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from rich.text import Text

from stream.cli.app import out
from stream.cli.listing import printable
from stream.kafka.reader import StoredRecord

_TEXT_CHARS_MAX = 4_000
_DUMP_BYTES_MAX = 512
_DUMP_LINE_BYTES = 16
_FOREIGN = "?"  # a record that somebody else put there


class Letter:
    """A record of the dead-letter topic and what its headers say.

    Attributes:
        record: as it lies in the topic.
    """

    def __init__(self, record: StoredRecord) -> None:
        self.record = record

    @cached_property
    def _headers(self) -> dict[str, str]:
        return {name: (value or b"").decode(errors="replace") for name, value in self.record.headers}

    def _said(self, name: str) -> str:
        return self._headers.get(name, _FOREIGN)

    @property
    def position(self) -> str:
        """Where it lies in the dead-letter topic."""
        return f"{self.record.partition}:{self.record.offset}"

    @property
    def reason(self) -> str:
        """Why it was rejected."""
        return self._said("dead-letter.reason")

    @property
    def input(self) -> str:
        """Where the record lay."""
        return ":".join(self._said(f"__streams.errors.{part}") for part in ("topic", "partition", "offset"))

    @property
    def value_bytes(self) -> int | None:
        """How long the rejected value was; None for a record without one."""
        said = self._headers.get("dead-letter.value-bytes", "")
        if said.isdecimal():
            return int(said)
        return None if self.record.value is None else len(self.record.value)

    @property
    def why_no_value(self) -> str:
        """Why a null value is null."""
        if "dead-letter.value-bytes" in self._headers:
            return f"its {self.value_bytes:,} bytes were too many here; the original lay at {self.input}"
        return "the input record had none"

    def cells(self) -> tuple[str, ...]:
        """Return what a row of the list shows."""
        size = self.value_bytes
        return (
            self.position,
            self.reason,
            self._said("dead-letter.stage"),
            self._said("dead-letter.attempts"),
            self._said("dead-letter.failed-at"),
            self.input,
            "-" if size is None else str(size),
            self._said("__streams.errors.message"),
        )

    def facts(self) -> dict[str, Any]:
        """Return the same for programs; what is not known is null."""
        known = self._headers.get
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
        }


def describe_letter(letter: Letter) -> None:
    """Show everything: position, key, headers, value."""
    record = letter.record
    stamp = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds")
    _say("position", f"{letter.position} in {record.topic}")
    _say("timestamp", stamp)
    _say("key", "none" if record.key is None else _brief(record.key))
    _say("headers", "" if record.headers else "none")
    name_chars = max((len(name) for name, _ in record.headers), default=0)
    for name, value in record.headers:
        shown = ["null"] if value is None else (_as_text(value) or _brief(value)).splitlines() or [""]
        _write(f"  {printable(name):<{name_chars}}  {shown[0]}")
        for line in shown[1:]:
            _write(f"  {'':<{name_chars}}  {line}")
    if record.value is None:
        _say("value", f"none: {letter.why_no_value}")
        return
    text = _as_text(record.value)
    _say("value", f"{len(record.value):,} bytes" + ("" if text is not None else ", not readable as text"))
    lines = _dump(record.value) if text is None else text[:_TEXT_CHARS_MAX].splitlines()
    for line in lines:
        _write(f"  {line}")
    if len(text or "") > _TEXT_CHARS_MAX or (text is None and len(record.value) > _DUMP_BYTES_MAX):
        _write("  … shortened; --raw writes all of it")


def _as_text(value: bytes) -> str | None:
    """Return the text that the bytes are, if a terminal can show it."""
    try:
        text = value.decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c in "\n\t" for c in text) else None


def _brief(value: bytes) -> str:
    """Return the bytes on one line."""
    try:
        return printable(value.decode())
    except UnicodeDecodeError:
        return f"0x{value[:_DUMP_BYTES_MAX].hex()}" + ("…" if len(value) > _DUMP_BYTES_MAX else "")


def _dump(value: bytes) -> list[str]:
    """Return the beginning of the bytes, as hex and as the ASCII in them."""
    lines = []
    for at in range(0, min(len(value), _DUMP_BYTES_MAX), _DUMP_LINE_BYTES):
        part = value[at : at + _DUMP_LINE_BYTES]
        seen = "".join(chr(byte) if chr(byte).isascii() and chr(byte).isprintable() else "." for byte in part)
        lines.append(f"{at:08x}  {part.hex(' '):<{3 * _DUMP_LINE_BYTES}} {seen}")
    return lines


def _say(label: str, text: str) -> None:
    if sys.stdout.isatty():
        out.print(Text.assemble((f"{label:<10}", "bold"), text))
    else:
        _write(f"{label:<10}{text}")


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
