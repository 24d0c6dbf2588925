"""What an audit found."""

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

DIFFERENCES_MAX = 20  # said one by one; the rest is counted


@dataclass(slots=True)
class Verdict:
    """Figures, and sentences for people.

    Attributes:
        records: input records looked at; words: in those with a result.
        results: looked at; dead_letters: the same.
        lost: input records below the committed offset without an outcome.
        duplicated: outcomes beyond the first of an input record.
        unknown: outcomes of input that is absent, or not committed.
        wrong: outcomes that are not what the core makes of their input.
        misplaced: results that are not in the order of their input, or on another partition.
        totals: totals of the count topic that are not the fold of the input.
        stores: totals of stores that are not.
        differences: sentences, the first so many.
        unchecked: what could not be looked at, and why.
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
        """How many differences there are."""
        return sum(getattr(self, kind) for kind in self.KINDS)

    @property
    def holds(self) -> bool:
        """Whether every record has exactly one outcome, each is right, and the totals are their fold."""
        return not self.different

    def differ(self, kind: str, sentence: str) -> None:
        """Count a difference, and keep its sentence while there is room."""
        setattr(self, kind, getattr(self, kind) + 1)
        if len(self.differences) < self.differences_max:
            self.differences.append(sentence)

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        figures = asdict(self)
        del figures["differences_max"]
        return {"holds": self.holds, **figures}
