"""Finds the likely cause of a failed broker start in its log, and the hint that fixes it."""

import re
from dataclasses import dataclass
from pathlib import Path

from stream.errors import Fatal, Misconfigured, Refused

_TAIL_BYTES_MAX = 1024 * 1024
_UNUSUAL_LINES_MAX = 12
_LAST_LINES = 8
_LINE_CHARS_MAX = 300
_NOISE = re.compile(
    r"WARNING: |\s*at [\w.$/<>]+\(|\s*\.\.\. \d+ more|\s*$"
)  # Java's warnings about itself, and stack traces
_ROUTINE = re.compile(r"^\S+ (WARN|INFO|DEBUG) ")


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause of a failed start that the log reveals.

    Attributes:
        pattern: what the log contains.
        what: the cause.
        hint: what fixes it.
        is_usage: a setting or an argument is wrong.
    """

    pattern: re.Pattern[str]
    what: str
    hint: str
    is_usage: bool = False


# The first cause that matches is reported.
_CAUSES = tuple(
    Cause(re.compile(pattern, re.IGNORECASE), what, hint, is_usage)
    for pattern, what, hint, is_usage in (
        ("No space left on device", "the disk is full", "free some space, or choose another data_dir", False),
        (
            "Failed to acquire lock",
            "another broker uses its data",
            "stop that broker, or choose another data_dir",
            False,
        ),
        (
            "Address already in use|Failed to bind",
            "a port was taken by another process",
            "start again with port 0, which takes a free port",
            False,
        ),
        (
            "OutOfMemoryError|Too small|Could not reserve enough|larger than the maximum|insufficient memory",
            "the broker had too little memory",
            "increase heap_mib",
            False,
        ),
        (
            "UnsupportedClassVersionError|Unrecognized VM option|Could not create the Java Virtual Machine",
            "this Java cannot run Kafka",
            "set STREAM_JAVA to Java 17 or later",
            True,
        ),
        (
            "AccessDenied|Permission denied|Read-only file system",
            "its data folder cannot be written",
            "choose a data_dir that this user can write to",
            True,
        ),
        (
            "Inconsistent|doesn't match|Unexpected error when reading meta.properties",
            "its data belongs to another broker",
            "choose another data_dir",
            False,
        ),
        (
            "ConfigException|requirement failed|IllegalArgumentException|NumberFormatException",
            "Kafka refused one of its properties",
            "correct or remove the property that the log names",
            True,
        ),
    )
)


def tail(path: Path, lines: int, since_byte: int = 0) -> str:
    """Return the last lines of a file, starting at `since_byte`; empty if the file does not exist."""
    try:
        with path.open("rb") as file:
            size_bytes = path.stat().st_size
            start = since_byte if since_byte <= size_bytes else 0  # the log was rolled over
            file.seek(max(start, size_bytes - _TAIL_BYTES_MAX))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def not_started(what: str, log: str) -> Fatal:
    """Return the error to raise, with the likely cause, its hint and an excerpt of the log."""
    cause = next((cause for cause in _CAUSES if cause.pattern.search(log)), None)
    likely = f"; likely cause: {cause.what}" if cause else ""
    message = f"{what}{likely}\n{_excerpt(log)}"
    if cause is None:
        return Fatal(message)
    return Misconfigured(message, cause.hint) if cause.is_usage else Refused(message, cause.hint)


def _excerpt(log: str) -> str:
    """Return the unusual lines, then the last ones: a hundred lines of clean shutdown may be in between."""
    lines = [line for line in log.splitlines() if not _NOISE.match(line)]
    unusual = [line for line in dict.fromkeys(lines) if not _ROUTINE.match(line)][:_UNUSUAL_LINES_MAX]
    last = [line for line in lines[-_LAST_LINES:] if line not in unusual]
    return "\n".join(f"  | {line[:_LINE_CHARS_MAX]}" for line in [*unusual, *last])
