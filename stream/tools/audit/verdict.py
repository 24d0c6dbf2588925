"""The result of an audit."""

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

DIFFERENCES_MAX = 20  # described one by one; further ones are only counted


@dataclass(slots=True)
class Verdict:
    """Counts of records and differences, and descriptions of the first differences.

    Attributes:
        records: input records that were read.
        words: words of the input records that have a result.
        results: results that were read.
        dead_letters: dead letters that were read.
        lost: input records below the committed offset without an outcome.
        duplicated: outcomes beyond the first of an input record.
        unknown: outcomes of input that is missing or not committed.
        wrong: outcomes that differ from the expected outcome of their input.
        misplaced: results that are not in the order of their input, or on another partition.
        totals: totals of the count topic that are not the fold of the input.
        stores: totals of stores that are not the fold of the input.
        differences: sentences that describe the first `differences_max` differences.
        unchecked: sentences that say what could not be checked, and why.
    """

    records: int = 0
    words: int = 0
    results: int = 0
    dead_letters: int = 0
    lost: int = 0
    duplicated: int = 0
    unknown: int = 0
    wrong: int = 0
    misplaced: int = 0
    totals: int = 0
    stores: int = 0
    differences: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    differences_max: int = DIFFERENCES_MAX

    KINDS: ClassVar = ("lost", "duplicated", "unknown", "wrong", "misplaced", "totals", "stores")

    @property
    def different(self) -> int:
        """Number of differences of all kinds."""
        return sum(getattr(self, kind) for kind in self.KINDS)

    @property
    def holds(self) -> bool:
        """Whether every record has exactly one outcome, as expected, and the totals are their fold."""
        return not self.different

    def add_difference(self, kind: str, sentence: str) -> None:
        """Count a difference; keep its sentence if it is among the first."""
        setattr(self, kind, getattr(self, kind) + 1)
        if len(self.differences) < self.differences_max:
            self.differences.append(sentence)

    def as_json(self) -> dict[str, Any]:
        """Return the verdict as the JSON object that `verify --format json` prints."""
        figures = asdict(self)
        del figures["differences_max"]
        return {"holds": self.holds, **figures}
