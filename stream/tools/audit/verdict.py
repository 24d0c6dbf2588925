"""The result of an audit."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

DIFFERENCES_MAX = 20  # lines that describe differences; further ones are only counted
SKIPPED = "skipped"
_OF_THE_ROUND = {"totals", "stores"}  # kinds of differences that each round finds again


@dataclass(slots=True)
class PartitionReport:
    """What was checked in one input partition.

    Attributes:
        committed: the group's committed offset; None if nothing was counted.
        records: input records that were read; all have an offset below the latest committed one.
        checked: those of them whose outcome was compared or is lost.
        results: results that were read on this partition.
        dead_letters: dead letters of this partition that were read.
        pending: committed input records at or beyond the committed offset without an outcome. If there are
            many, this is the number of their offsets, which also counts transaction markers.
        skipped: input records without an outcome that were skipped deliberately.
        not_checked: input records without an outcome, which retention may have deleted.
        other_settings: outcomes that only other settings explain: a setting was changed.
        totals: totals of the count topic that were compared; None if retention made that impossible.
        stores_found: stores of this pipeline; None if no state folder was given.
        stores_compared: those of them that were compared.
    """

    partition: int
    committed: int | None = None
    records: int = 0
    checked: int = 0
    results: int = 0
    dead_letters: int = 0
    pending: int = 0
    skipped: int = 0
    not_checked: int = 0
    other_settings: int = 0
    totals: int | None = None
    stores_found: int | None = None
    stores_compared: int = 0


@dataclass(slots=True)
class Line:
    """A sentence about differences of one kind, or about consecutive input records with the same difference.

    Attributes:
        number: number of differences.
        partition: partition of the input records; None if the sentence is not about input records.
        first: offset of the first input record; `last` is that of the last one.
        result_offset: offset of the result of the first one; None if there is none.
    """

    kind: str
    what: str
    number: int
    partition: int | None = None
    first: int = 0
    last: int = 0
    result_offset: int | None = None

    def __str__(self) -> str:
        if self.partition is None:
            return self.what
        is_range = self.number > 1
        offsets = f"{self.first} to {self.last} ({self.number:,} records)" if is_range else f"{self.first}"
        start = "from offset" if is_range else "offset"
        result = "" if self.result_offset is None else f" ({start} {self.result_offset} of the result topic)"
        return f"partition {self.partition}: input {offsets}: {self.what}{result}"


@dataclass(slots=True)
class Verdict:
    """Counts of records and differences, and lines that describe the first differences.

    Attributes:
        words: words of the input records that have a result.
        lost: input records below the committed offset without an outcome.
        duplicated: outcomes beyond the first of an input record.
        unknown: outcomes of input that is missing or not committed.
        wrong: outcomes that differ from the expected outcome of their input.
        misplaced: results that are not in the order of their input, or on another partition.
        totals: totals of the count topic that differ from the sum over the input.
        stores: totals of stores that differ from the sum over the input.
        stores_found: stores below the state folders, of any pipeline; None if no folder was given.
        partitions: what was checked, by partition.
        unchecked: sentences about what could not be checked, and why.
    """

    words: int = 0
    lost: int = 0
    duplicated: int = 0
    unknown: int = 0
    wrong: int = 0
    misplaced: int = 0
    totals: int = 0
    stores: int = 0
    stores_found: int | None = None
    partitions: dict[int, PartitionReport] = field(default_factory=dict)
    unchecked: list[str] = field(default_factory=list)
    differences_max: int = DIFFERENCES_MAX
    _lines: list[Line] = field(default_factory=list)
    _latest: dict[tuple[str, int, str], Line] = field(default_factory=dict)

    KINDS: ClassVar = ("lost", "duplicated", "unknown", "wrong", "misplaced", "totals", "stores")
    FIGURES: ClassVar = ("records", "words", "results", "dead_letters")

    def start_round(self) -> None:
        """Discard what each round determines again."""
        self.unchecked.clear()
        self.totals = self.stores = 0
        self._lines = [line for line in self._lines if line.kind not in _OF_THE_ROUND]

    def partition(self, number: int) -> PartitionReport:
        """Return the report of a partition."""
        return self.partitions.setdefault(number, PartitionReport(number))

    @property
    def records(self) -> int:
        """Number of input records that were read."""
        return sum(each.records for each in self.partitions.values())

    @property
    def checked(self) -> int:
        """Number of input records whose outcome was compared or is lost."""
        return sum(each.checked for each in self.partitions.values())

    @property
    def results(self) -> int:
        """Number of results that were read."""
        return sum(each.results for each in self.partitions.values())

    @property
    def dead_letters(self) -> int:
        """Number of dead letters that were read."""
        return sum(each.dead_letters for each in self.partitions.values())

    @property
    def pending(self) -> int:
        """Number of input records that are not counted yet."""
        return sum(each.pending for each in self.partitions.values())

    @property
    def skipped(self) -> int:
        """Number of input records that were skipped deliberately."""
        return sum(each.skipped for each in self.partitions.values())

    @property
    def not_checked(self) -> int:
        """Number of input records without an outcome, which retention may have deleted."""
        return sum(each.not_checked for each in self.partitions.values())

    @property
    def other_settings(self) -> int:
        """Number of outcomes that only other settings explain."""
        return sum(each.other_settings for each in self.partitions.values())

    @property
    def is_counted(self) -> bool:
        """Whether the group has a committed offset in any partition."""
        return any(each.committed is not None for each in self.partitions.values())

    @property
    def different(self) -> int:
        """Number of differences of all kinds."""
        return sum(getattr(self, kind) for kind in self.KINDS)

    @property
    def holds(self) -> bool:
        """Whether every record has exactly its expected outcome, and totals equal the sum over the input."""
        return not self.different

    @property
    def differences(self) -> list[str]:
        """Sentences that describe the first differences, at most `differences_max`."""
        return [str(line) for line in self._differences()]

    @property
    def undescribed(self) -> int:
        """Number of differences that no sentence describes."""
        return self.different - sum(line.number for line in self._differences())

    @property
    def skipped_ranges(self) -> list[str]:
        """Sentences that name the first ranges of skipped input, at most `differences_max`."""
        return [str(line) for line in self._lines if line.kind == SKIPPED]

    def add_difference(self, kind: str, sentence: str, number: int = 1) -> None:
        """Count differences; keep their sentence if it is among the first."""
        if number:
            setattr(self, kind, getattr(self, kind) + number)
            self._keep(Line(kind, sentence, number))

    def add_input_difference(  # noqa: PLR0913 - which record, and what is wrong with it
        self,
        kind: str,
        partition: int,
        offset: int,
        what: str,
        *,
        previous: int | None = None,
        result_offset: int | None = None,
    ) -> None:
        """Count a difference of an input record; it extends the line of the record before it.

        `previous` is the offset of the input record before it; by default the offset before it.
        """
        setattr(self, kind, getattr(self, kind) + 1)
        self._extend(Line(kind, what, 1, partition, offset, offset, result_offset), previous)

    def add_skipped(self, partition: int, offset: int, previous: int) -> None:
        """Count an input record that was skipped deliberately."""
        self.partition(partition).skipped += 1
        self._extend(Line(SKIPPED, "skipped deliberately", 1, partition, offset, offset), previous)

    def _extend(self, line: Line, previous: int | None) -> None:
        key = (line.kind, line.partition or 0, line.what)
        latest = self._latest.get(key)
        if latest is not None and latest.last == (line.first - 1 if previous is None else previous):
            latest.number, latest.last = latest.number + 1, line.last
        elif self._keep(line):
            self._latest[key] = line

    def _keep(self, line: Line) -> bool:
        kept = sum((each.kind == SKIPPED) == (line.kind == SKIPPED) for each in self._lines)
        if kept < self.differences_max:
            self._lines.append(line)
        return kept < self.differences_max

    def _differences(self) -> Iterable[Line]:
        return (line for line in self._lines if line.kind != SKIPPED)

    def as_json(self) -> dict[str, Any]:
        """Return the verdict as the JSON object that `verify --format json` prints."""
        names = (
            *(*self.FIGURES, *self.KINDS, "differences", "unchecked"),
            *(
                "checked",
                "not_checked",
                "other_settings",
                "pending",
                "skipped",
                "skipped_ranges",
                "stores_found",
            ),
        )
        figures = {name: getattr(self, name) for name in names}
        partitions = [asdict(each) for _, each in sorted(self.partitions.items())]
        return {"holds": self.holds, **figures, "partitions": partitions}
