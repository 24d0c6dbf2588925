"""The interface between the runtime and its computation: records in, results and totals out.

The runtime (`worker/`, `store/`, `supervisor/`, the fakes and the simulator) knows records, keys, deltas,
totals and a digest. Everything about anagrams is behind `Fold`, in `anagrams.AnagramFold`.
`tests/simulation` runs the same simulations with another fold.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from stream.core.columns import InputRecords, OutputRecords
from stream.core.records import OutputRecord
from stream.errors import Rejected

Changes = Mapping[bytes, bytes]
"""Key -> new total, encoded as in the count topic and the store. No key starts with a NUL byte."""
Deltas = Any
"""Increases of totals; only the fold reads them."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The outcome of some records of one partition: each has a result or is rejected.

    Attributes:
        results: the results, in the order of their records.
        rejected: position of a record -> why it has no result, in order.
        items: number of items counted in the records with a result; words, for anagrams.
        deltas: by how much the records with a result increase the totals of the partition.
    """

    results: OutputRecords
    rejected: Mapping[int, Rejected]
    items: int
    deltas: Deltas

    @classmethod
    def of(cls, outcomes: Sequence[OutputRecord | Rejected], items: int, deltas: Deltas) -> Self:
        """Return the chunk with these outcomes, one for each record in order."""
        results = [outcome for outcome in outcomes if isinstance(outcome, OutputRecord)]
        rejected = {n: outcome for n, outcome in enumerate(outcomes) if isinstance(outcome, Rejected)}
        columns = OutputRecords.of(results) if results else OutputRecords.empty("", 0)
        return cls(columns, rejected, items, deltas)

    @property
    def outcomes(self) -> list[OutputRecord | Rejected]:
        """The outcome of each record, in order."""
        results = iter(self.results)
        records = range(len(self.results) + len(self.rejected))
        return [self.rejected.get(position) or next(results) for position in records]


class ChangedTotals(Protocol):
    """Totals that a batch changes. Nothing changes before `apply`."""

    @property
    def changes(self) -> Changes:
        """The new totals, encoded."""

    def apply(self) -> None:
        """Change the totals in memory; called after the commit."""


class Totals(Protocol):
    """The totals of one partition in memory, as of the last commit."""

    def compute_changes(self, deltas: Sequence[Deltas]) -> ChangedTotals:
        """Add up the deltas of a batch."""


class Fold(Protocol):
    """Computes results and totals from records."""

    @property
    def digest(self) -> str:
        """Equal digests mean equal results: totals with another digest are never continued."""

    def process(self, records: InputRecords) -> Chunk:
        """Decode and count records of one partition. A rejected record has no effect on the others."""

    def load(self, stored: Iterable[tuple[bytes, bytes]]) -> Totals:
        """Load totals from the items of a store.

        Raises:
            ValueError: this fold never writes such a key or total.
        """

    def validate(self, changes: Changes) -> None:
        """Check totals that restore read from the changelog.

        Raises:
            ValueError: this fold never writes such a total.
        """
