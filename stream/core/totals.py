"""Running totals of one partition in memory: the content of its store, one number per signature."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import orjson

from stream.core.counts import decode_total
from stream.core.lexicon import Ids

JOINED = 4  # ids counted at once, per signature of the dictionary; more take memory
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ChangedSignatures:
    """The totals that a batch changes.

    Attributes:
        changes: signature -> new total in decimal ASCII, as in the count topic and the store.
    """

    changes: dict[bytes, bytes]
    _totals: Numbers
    _ids: npt.NDArray[np.intp]
    _new: Numbers

    def apply(self) -> None:
        """Change the totals; called after the commit."""
        self._totals[self._ids] = self._new


class SignatureTotals:
    """The totals of one partition: eight bytes per signature of the dictionary."""

    def __init__(self, signatures: Sequence[bytes], stored: Iterable[tuple[bytes, bytes]]) -> None:
        """`signatures` are sorted, and an id is an index into them; `stored` are the items of the store.

        Raises:
            ValueError: a key is not a signature of the dictionary, or a value is not a total.
        """
        self._signatures = signatures
        self._totals = np.zeros(len(signatures), np.int64)
        by_key = dict(stored)
        if by_key:
            ids = {key: number for number, key in enumerate(signatures) if key in by_key}
            if len(ids) < len(by_key):
                raise ValueError(f"not in the dictionary: {min(by_key.keys() - ids.keys())[:20]!r}")
            self._totals[list(ids.values())] = [decode_total(by_key[key]) for key in ids]

    def compute_changes(self, deltas: Iterable[Ids]) -> ChangedSignatures:
        """Return the totals that words with these ids change; `apply` makes the change."""
        changed, added = _count(deltas, len(self._signatures))
        totals = self._totals[changed] + added
        return ChangedSignatures(self._encode(changed, totals), self._totals, changed, totals)

    def _encode(self, ids: npt.NDArray[np.intp], totals: Numbers) -> dict[bytes, bytes]:
        keys = map(self._signatures.__getitem__, ids.tolist())
        values = orjson.dumps(totals.tolist())[1:-1].split(b",")
        return dict(zip(keys, values, strict=True)) if len(ids) else {}

    @property
    def counted(self) -> int:
        """The number of signatures with a total."""
        return int(np.count_nonzero(self._totals))


def _count(pieces: Iterable[Ids], number: int) -> tuple[npt.NDArray[np.intp], Numbers]:
    """Return the distinct ids, all below `number`, in ascending order, and how often each occurs."""
    joined = _joined(pieces, JOINED * number)
    first = next(joined, np.empty(0, np.int32))
    if len(first) < number // 4:  # these are all ids; to sort them is faster than to count
        ids, times = np.unique(first, return_counts=True)
        return ids.astype(np.intp), times
    added: Numbers = np.bincount(first, minlength=number)
    for piece in joined:
        added += np.bincount(piece, minlength=number)
    changed = np.flatnonzero(added)
    return changed, added[changed]


def _joined(pieces: Iterable[Ids], least: int) -> Iterator[Ids]:
    """Join pieces until they have `least` ids: the cost of an addition grows with the dictionary."""
    joined, size = list[Ids](), 0
    for piece in pieces:
        joined.append(piece)
        size += len(piece)
        if size >= least:
            yield np.concatenate(joined)
            joined, size = [], 0
    if size:
        yield np.concatenate(joined)
