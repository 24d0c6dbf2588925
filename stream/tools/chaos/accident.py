"""Accidental changes to offsets, topics and logs in a campaign, and their evaluation. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

RESUME = re.compile(r"`anagram-stream (offsets resume[^`]*)`")
FIXES = ("anagram-stream offsets", "anagram-stream start-over", "anagram-stream topics create")
"""A refusal because of offsets, topics or logs names one of these commands."""
SHOW = "anagram-stream offsets show"
OUTPUTS = ("result", "count", "dead-letter")


class Accident(StrEnum):
    """Accidental changes to the offsets, topics and logs of a campaign."""

    OFFSETS_AHEAD = "offsets-ahead"
    OFFSETS_BACK = "offsets-back"
    OFFSETS_DELETED = "offsets-deleted"
    INPUT_RECREATED = "input-recreated"
    RESULT_RECREATED = "result-recreated"
    COUNT_RECREATED = "count-recreated"
    DEAD_LETTER_RECREATED = "dead-letter-recreated"
    INPUT_TRUNCATED = "input-truncated"
    RESULT_TRUNCATED = "result-truncated"
    COUNT_TRUNCATED = "count-truncated"
    DEAD_LETTER_TRUNCATED = "dead-letter-truncated"

    @property
    def role(self) -> str:
        """The role of the topic, or `offsets`."""
        return self.value.rpartition("-")[0]

    @property
    def is_truncation(self) -> bool:
        return self.value.endswith("-truncated")

    def is_possible(self, nodes: int) -> bool:
        """Whether it is possible on a cluster with this number of nodes.

        On several nodes, an election truncates a log, which may leave a transaction of its topic open
        forever.
        """
        return nodes == 1 or not self.is_truncation or self is Accident.INPUT_TRUNCATED


class Outcome(StrEnum):
    """The consequence of an accident.

    REFUSED: all workers refused, and the campaign was exact with the fix, or had to start over.
    EXACT: all workers continued, and the campaign was exact.
    SILENT: workers continued, and the campaign was not exact.
    BROKEN: all workers refused, and the campaign was not exact with the fix.
    UNSETTLED: some workers neither refused nor continued.
    """

    REFUSED = "refused"
    EXACT = "exact"
    SILENT = "silent"
    BROKEN = "broken"
    UNSETTLED = "unsettled"


@dataclass(frozen=True, slots=True)
class Change:
    """The change that an accident made.

    Attributes:
        what: description of the change.
        partition: the partition whose log was replaced from `offset` on; None if all logs of the topic were.
    """

    what: str
    partition: int | None = None
    offset: int = 0

    def concerns(self, partition: int) -> bool:
        return self.partition in {None, partition}


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a worker logged before it exited with status 1."""

    worker: str
    error: str
    fix: str


@dataclass(slots=True)
class AccidentReport:
    """An accident and its consequences.

    Attributes:
        change: what happened.
        refusals: refusals of the workers, in the order in which they exited.
        refused_s: time from the accident until the last worker refused, in seconds.
        is_settled: whether all workers refused, or all partitions continued.
        is_final: whether the printed fix is to start over, so that the campaign ends with the refusal.
        shown: partitions that `offsets show` reports as refused.
        commands: commands that resumed the partitions.
        refused_again: how often all workers refused after another start, with and without state folders.
        records_after: committed records that the workers took from the replaced log or wrote to it, and
            committed offsets of its partitions that they changed.
        skipped: input that the audit afterwards reports as skipped.
    """

    kind: Accident
    change: Change
    refusals: list[Refusal] = field(default_factory=list)
    refused_s: float = 0.0
    is_settled: bool = False
    is_final: bool = False
    shown: int = 0
    commands: list[str] = field(default_factory=list)
    refused_again: int = 0
    records_after: int = 0
    skipped: int = 0

    def outcome(self, *, is_exact: bool) -> Outcome:
        """Return the consequence; `is_exact`: whether the campaign kept every promise afterwards."""
        if not self.is_settled:
            return Outcome.UNSETTLED
        if self.records_after or not self.refusals:
            return Outcome.EXACT if is_exact and not self.records_after else Outcome.SILENT
        return Outcome.REFUSED if is_exact else Outcome.BROKEN

    def as_json(self, *, is_exact: bool) -> dict[str, Any]:
        """Return the report as a part of the JSON output of `chaos`."""
        first = self.refusals[0] if self.refusals else None
        return {
            "kind": self.kind,
            "what": self.change.what,
            "outcome": self.outcome(is_exact=is_exact),
            "refused_workers": [each.worker for each in self.refusals],
            "refused_s": round(self.refused_s, 1),
            "error": first.error if first else None,
            "fix": first.fix if first else None,
            "is_final": self.is_final,
            "refused_again": self.refused_again,
            "records_after": self.records_after,
            "shown": self.shown,
            "commands": self.commands,
            "skipped": self.skipped,
        }


def names_fix(failure: Mapping[str, Any]) -> bool:
    """Whether a worker's last log line names a fix for changed offsets, topics or logs."""
    return any(command in failure.get("fix", "") for command in FIXES)


def resume_command(fixes: Sequence[str]) -> str | None:
    """Return the command that resumes the partitions that are refused with these fixes.

    None if no single command resumes all of them: then the fix is to start over.
    """
    commands = [match[1] for fix in fixes if (match := RESUME.search(fix))]
    if not commands or len(commands) < len(fixes):
        return None
    return max(commands, key=len)  # with --accept-loss, if one partition needs it
