"""Prints one dead letter: its position, key, headers and value."""

import sys
from datetime import UTC, datetime, timedelta

from rich.text import Text

from stream.cli.app import out, quantity
from stream.core.text import printable
from stream.tools.dead_letters.stored import StoredDeadLetter

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TEXT_CHARS_MAX = 4_000
_DUMP_BYTES_MAX = 512
_DUMP_LINE_BYTES = 16


def print_dead_letter(letter: StoredDeadLetter) -> None:
    """Print all parts of a dead letter; a long value is truncated."""
    record = letter.record
    _print_field("position", f"{letter.position} in {record.topic}")
    _print_field("timestamp", _timestamp(record.timestamp_ms))
    _print_field("key", "none" if record.key is None else _one_line(record.key))
    _print_field("headers", "" if record.headers else "none")
    name_chars = max((len(name) for name, _ in record.headers), default=0)
    for name, value in record.headers:
        shown = ["null"] if value is None else (_as_text(value) or _one_line(value)).splitlines() or [""]
        _write(f"  {printable(name):<{name_chars}}  {shown[0]}")
        for line in shown[1:]:
            _write(f"  {'':<{name_chars}}  {line}")
    if record.value is None:
        _print_field("value", f"none: {letter.why_no_value}")
        return
    text = _as_text(record.value)
    unreadable = "" if text is not None else ", not readable as text"
    _print_field("value", f"{quantity(len(record.value), 'byte')}{unreadable}")
    lines = _hex_dump(record.value) if text is None else text[:_TEXT_CHARS_MAX].splitlines()
    for line in lines:
        _write(f"  {line}")
    if len(text or "") > _TEXT_CHARS_MAX or (text is None and len(record.value) > _DUMP_BYTES_MAX):
        _write("  … truncated; --raw writes the whole value")


def _timestamp(timestamp_ms: int) -> str:
    """Format a timestamp. Kafka stores any 64-bit number; -1 means no timestamp."""
    if timestamp_ms == -1:
        return "none"
    try:
        return (_EPOCH + timedelta(milliseconds=timestamp_ms)).isoformat(timespec="milliseconds")
    except OverflowError:
        return f"{timestamp_ms} ms, not a date"


def _as_text(value: bytes) -> str | None:
    """Return the text of the bytes, or None if a terminal cannot show it."""
    try:
        text = value.decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c in "\n\t" for c in text) else None


def _one_line(value: bytes) -> str:
    try:
        return printable(value.decode())
    except UnicodeDecodeError:
        return f"0x{value[:_DUMP_BYTES_MAX].hex()}" + ("…" if len(value) > _DUMP_BYTES_MAX else "")


def _hex_dump(value: bytes) -> list[str]:
    """Return the first bytes in hex, with their ASCII characters."""
    lines = []
    for start in range(0, min(len(value), _DUMP_BYTES_MAX), _DUMP_LINE_BYTES):
        part = value[start : start + _DUMP_LINE_BYTES]
        text = "".join(chr(byte) if chr(byte).isascii() and chr(byte).isprintable() else "." for byte in part)
        lines.append(f"{start:08x}  {part.hex(' '):<{3 * _DUMP_LINE_BYTES}} {text}")
    return lines


def _print_field(label: str, text: str) -> None:
    if sys.stdout.isatty():
        out.print(Text.assemble((f"{label:<10}", "bold"), text))
    else:
        _write(f"{label:<10}{text}")


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
