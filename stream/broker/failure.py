"""Why the broker did not start: from the last lines of its log to a likely cause and its hint."""

import re
from dataclasses import dataclass
from pathlib import Path

from stream.errors import Fatal, Misconfigured, Refused

_TAIL_BYTES_MAX = 1024 * 1024
_OUTSTANDING_LINES_MAX = 12
_LAST_LINES = 8
_LINE_CHARS_MAX = 300
_NOISE = re.compile(
    r"WARNING: |\s*at [\w.$/<>]+\(|\s*\.\.\. \d+ more|\s*$"
)  # Java on itself, and stacks of calls
_ROUTINE = re.compile(r"^\S+ (WARN|INFO|DEBUG) ")


@dataclass(frozen=True, slots=True)
class Cause:
    """What a line of the log gives away.

    Attributes:
        pattern: found in the log.
        what: the cause, for people.
        hint: what to do about it.
        is_usage: the caller asked for something impossible.
    """

    pattern: re.Pattern[str]
    what: str
    hint: str
    is_usage: bool = False


# In this order: the first that is found in the log is named.
_CAUSES = tuple(
    Cause(re.compile(pattern, re.IGNORECASE), what, hint, is_usage)
    for pattern, what, hint, is_usage in (
        ("No space left on device", "the disk is full", "free some space, or choose another data_dir", False),
        (
            "Failed to acquire lock",
            "another broker uses its data",
            "stop that one, or choose another data_dir",
            False,
        ),
        (
            "Address already in use|Failed to bind",
            "a port was taken by another process",
            "start again with port 0, which takes a free one",
            False,
        ),
        (
            "OutOfMemoryError|Too small|Could not reserve enough|larger than the maximum|insufficient memory",
            "it had too little memory",
            "give it a larger heap_mib (512 is the default)",
            False,
        ),
        (
            "UnsupportedClassVersionError|Unrecognized VM option|Could not create the Java Virtual Machine",
            "this Java cannot run it",
            "set STREAM_JAVA to a Java of version 17 or later",
            True,
        ),
        (
            "AccessDenied|Permission denied|Read-only file system",
            "its data folder cannot be written",
            "choose a data_dir that this user may write",
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
            "it refused one of its properties",
            "correct or leave out the property that the log names",
            True,
        ),
    )
)


def tail(path: Path, lines: int, since_byte: int = 0) -> str:
    """The last lines of a file, none from before `since_byte`; nothing when it is not there."""
    try:
        with path.open("rb") as file:
            size_bytes = path.stat().st_size
            start = since_byte if since_byte <= size_bytes else 0  # it began anew in the meantime
            file.seek(max(start, size_bytes - _TAIL_BYTES_MAX))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def not_started(what: str, log: str) -> Fatal:
    """The error to raise: the likely cause, its hint, and what the log says of it."""
    cause = next((cause for cause in _CAUSES if cause.pattern.search(log)), None)
    likely = f"; likely cause: {cause.what}" if cause else ""
    message = f"{what}{likely}\n{_excerpt(log)}"
    if cause is None:
        return Fatal(message)
    return Misconfigured(message, cause.hint) if cause.is_usage else Refused(message, cause.hint)


def _excerpt(log: str) -> str:
    """First what stands out, for a hundred lines of orderly shutdown follow it, then the last lines."""
    lines = [line for line in log.splitlines() if not _NOISE.match(line)]
    outstanding = [line for line in dict.fromkeys(lines) if not _ROUTINE.match(line)][:_OUTSTANDING_LINES_MAX]
    last = [line for line in lines[-_LAST_LINES:] if line not in outstanding]
    return "\n".join(f"  | {line[:_LINE_CHARS_MAX]}" for line in [*outstanding, *last])
