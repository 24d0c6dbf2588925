"""What an audit finds, and how it says so."""

from dataclasses import dataclass, field
from typing import Any

DIFFERENCES_MAX = 20  # said one by one; the rest is counted
KINDS = ("lost", "duplicated", "unknown", "wrong", "misplaced", "totals", "stores")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the audit is: input offsets of `done` partitions and of this one, of `total`."""

    partition: int
    done: int
    total: int


@dataclass(slots=True)
class Verdict:
    """What the audit found.

    Attributes:
        lost: input records that are committed and have no outcome.
        duplicated: outcomes beyond the one that a record has.
        unknown: outcomes of input that is absent or not committed, or that cannot be read.
        wrong: outcomes that are not what the core computes.
        misplaced: outcomes on another partition than their input's, or out of its order.
        totals: signatures whose total is not the fold of the input.
        stores: entries of a store that are not the fold up to its checkpoint.
        records: committed input records looked at.
        words: in those with a result.
        results: results seen.
        dead_letters: dead letters of this group and input seen.
        cut: by input partition, the offset below which each record must have its outcome.
        differences: sentences, at most `differences_max`.
        unchecked: what could not be checked, and why.
    """

    lost: int = 0
    duplicated: int = 0
    unknown: int = 0
    wrong: int = 0
    misplaced: int = 0
    totals: int = 0
    stores: int = 0
    records: int = 0
    words: int = 0
    results: int = 0
    dead_letters: int = 0
    cut: dict[int, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    differences_max: int = DIFFERENCES_MAX

    @property
    def different(self) -> int:
        """How many differences there are."""
        return sum(int(getattr(self, kind)) for kind in KINDS)

    @property
    def holds(self) -> bool:
        """Whether no difference was found."""
        return not self.different

    def differ(self, kind: str, sentence: str) -> None:
        """Note a difference of one of `KINDS`."""
        setattr(self, kind, getattr(self, kind) + 1)
        if len(self.differences) < self.differences_max:
            self.differences.append(f"{kind}: {sentence}")

    def add(self, part: "Verdict") -> None:
        """Add what was found of another partition."""
        for name in (*KINDS, "records", "words", "results", "dead_letters"):
            setattr(self, name, getattr(self, name) + getattr(part, name))
        self.cut |= part.cut
        self.differences += part.differences[: self.differences_max - len(self.differences)]
        self.unchecked += part.unchecked

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain values; partitions are text, as JSON wants its keys."""
        counts = {
            name: getattr(self, name) for name in (*KINDS, "records", "words", "results", "dead_letters")
        }
        return {
            "holds": self.holds,
            **counts,
            "cut": {str(partition): offset for partition, offset in sorted(self.cut.items())},
            "unchecked": self.unchecked,
            "differences": self.differences,
        }
