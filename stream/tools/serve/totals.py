"""The totals of all partitions in memory, summed by signature."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from stream.core.counts import check_totals
from stream.core.fold import Changes

_TOP_KEPT = 50  # until a total changes
_GROWTH = 4_096  # signatures by which the arrays grow

Numbers = npt.NDArray[np.int64]


class Total(NamedTuple):
    """A signature and the sum of its totals over all partitions."""

    signature: str
    total: int


class SummedTotals:
    """Sums of totals by signature. One thread calls `apply`; others may read meanwhile.

    A reader sees each total before or after a change, never in between, and may see some totals of a change
    before others, as in the count topic across partitions.
    """

    def __init__(self) -> None:
        self._ids: dict[bytes, int] = {}
        self._signatures: list[bytes] = []
        self._sums: Numbers = np.zeros(0, np.int64)
        self._changed_in: Numbers = np.zeros(0, np.int64)  # the version that last changed each
        self._of_partition: dict[int, Numbers] = {}
        self._top: tuple[int, list[Total]] = (-1, [])
        self.version = 0

    def apply(self, partition: int, changes: Changes) -> None:
        """Replace totals of one partition.

        Raises:
            ValueError: a value is not a total.
        """
        if not changes:
            return
        check_totals(changes.values())
        self._add_signatures(changes)
        ids = np.fromiter(map(self._ids.__getitem__, changes), np.intp, len(changes))
        totals = np.array(orjson.loads(b"[%b]" % b",".join(changes.values())), np.int64)
        before = self._of_partition.setdefault(partition, np.zeros(len(self._sums), np.int64))
        if len(before) < len(self._sums):
            before = self._of_partition[partition] = _grown(before, len(self._sums))
        self._sums[ids] += totals - before[ids]
        before[ids] = totals
        self._changed_in[ids] = self.version + 1
        self.version += 1

    def total(self, signature: bytes) -> int:
        number = self._ids.get(signature)
        return 0 if number is None else int(self._sums[number])

    def top(self, limit: int) -> list[Total]:
        """Return the largest totals; equal ones by signature."""
        version, kept = self._top
        if version != self.version or limit > len(kept):  # 1 ms for 100,000 signatures
            version, kept = self.version, self._greatest(np.flatnonzero(self._sums), max(limit, _TOP_KEPT))
            self._top = version, kept
        return kept[:limit]

    def changed_since(self, version: int, limit: int) -> list[Total]:
        """Return the largest of the totals that changed after a version."""
        return self._greatest(np.flatnonzero(self._changed_in > version), limit)

    @property
    def signatures(self) -> int:
        """Number of signatures with a total."""
        return len(self._signatures)

    @property
    def words(self) -> int:
        """Number of words that were counted: the sum of all totals."""
        return int(self._sums.sum())

    def _greatest(self, ids: npt.NDArray[np.intp], limit: int) -> list[Total]:
        sums = self._sums[ids]
        if len(ids) > limit:
            # All that equal the last one stay, so that the order by signature decides between them.
            least = np.partition(sums, len(sums) - limit)[len(sums) - limit]
            kept = sums >= least
            ids, sums = ids[kept], sums[kept]
        pairs = zip(ids.tolist(), sums.tolist(), strict=True)
        totals = [Total(self._signatures[n].decode("ascii", "replace"), total) for n, total in pairs]
        return sorted(totals, key=lambda each: (-each.total, each.signature))[:limit]

    def _add_signatures(self, changes: Changes) -> None:
        new = changes.keys() - self._ids.keys()
        if not new:
            return
        number = len(self._signatures) + len(new)
        if number > len(self._sums):
            size = max(number + _GROWTH, len(self._sums) * 3 // 2)
            self._sums, self._changed_in = _grown(self._sums, size), _grown(self._changed_in, size)
        for signature in sorted(new):
            self._signatures.append(signature)
            self._ids[signature] = len(self._signatures) - 1


def _grown(numbers: Numbers, size: int) -> Numbers:
    grown = np.zeros(size, np.int64)
    grown[: len(numbers)] = numbers
    return grown
