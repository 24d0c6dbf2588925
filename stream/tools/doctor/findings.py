"""What an examination finds."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One precondition.

    Attributes:
        check: its name, the same in each report.
        hint: the command or setting that fixes it; nothing where it holds.
    """

    check: str
    level: Level
    found: str
    hint: str = ""


Findings = Iterator[Finding]


def ok(check: str, found: str) -> Finding:
    """It holds."""
    return Finding(check, Level.OK, found)


def warning(check: str, found: str, hint: str) -> Finding:
    """A worker starts, but not for long or not well."""
    return Finding(check, Level.WARNING, found, hint)


def failed(check: str, found: str, hint: str) -> Finding:
    """A worker cannot start or go on."""
    return Finding(check, Level.FAILED, found, hint)


def skipped(check: str, why: str) -> Finding:
    """It could not be looked at."""
    return Finding(check, Level.SKIPPED, why)
