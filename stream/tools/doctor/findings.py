"""The findings of the doctor: one for each precondition of a worker."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: name of the check, the same in every report.
        detail: what the check found.
        hint: the command or setting that fixes it; empty if nothing needs to be fixed.
    """

    check: str
    level: Level
    detail: str
    hint: str = ""

    def as_json(self) -> dict[str, str]:
        return {"check": self.check, "level": self.level, "found": self.detail, "fix": self.hint}


Findings = Iterator[Finding]


def ok(check: str, detail: str) -> Finding:
    return Finding(check, Level.OK, detail)


def warning(check: str, detail: str, hint: str) -> Finding:
    """Return a finding that lets a worker start, but not run long or well."""
    return Finding(check, Level.WARNING, detail, hint)


def failed(check: str, detail: str, hint: str) -> Finding:
    """Return a finding that prevents a worker from starting or running."""
    return Finding(check, Level.FAILED, detail, hint)


def skipped(check: str, why: str) -> Finding:
    """Return the finding of a check that could not run."""
    return Finding(check, Level.SKIPPED, why)
