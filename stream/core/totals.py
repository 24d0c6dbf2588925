"""Running totals of one partition, in memory: what its store holds, as numbers, one for each signature."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import orjson

from stream.core.counts import decode_total
from stream.core.lexicon import Ids

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Grown:
    """Totals that words have changed: which, and what they are now."""

    ids: npt.NDArray[np.intp]
    totals: Numbers


class Totals:
    """The totals of one partition: eight bytes for each signature of the dictionary."""

    def __init__(self, signatures: Sequence[bytes], stored: Iterable[tuple[bytes, bytes]]) -> None:
        """`signatures`: sorted; an id is a place in it. `stored`: the store's items.

        Raises:
            ValueError: it holds what is no signature of the dictionary, or no total.
        """
        self._signatures = signatures
        self._totals = np.zeros(len(signatures), np.int64)
        found = dict(stored)
        if found:
            ids = {key: number for number, key in enumerate(signatures) if key in found}
            if len(ids) < len(found):
                raise ValueError(f"not in the dictionary: {min(found.keys() - ids.keys())[:20]!r}")
            self._totals[list(ids.values())] = [decode_total(found[key]) for key in ids]

    def grow(self, ids: Iterable[Ids]) -> Grown:
        """Return the totals that these words change; nothing is changed yet."""
        number = len(self._signatures)
        grown = np.zeros(number, np.int64)
        for piece in _joined(ids, number):
            grown += np.bincount(piece, minlength=number)
        changed = np.flatnonzero(grown)
        return Grown(changed, self._totals[changed] + grown[changed])

    def encode(self, grown: Grown) -> dict[bytes, bytes]:
        """Return signature -> total, in decimal ASCII, as they stand in the count topic and in the store."""
        keys = map(self._signatures.__getitem__, grown.ids.tolist())
        totals = orjson.dumps(grown.totals.tolist())[1:-1].split(b",")
        return dict(zip(keys, totals, strict=True)) if len(grown.ids) else {}

    def take(self, grown: Grown) -> None:
        """Change the totals: they are committed."""
        self._totals[grown.ids] = grown.totals

    @property
    def counted(self) -> int:
        """How many signatures have a total."""
        return int(np.count_nonzero(self._totals))


def _joined(pieces: Iterable[Ids], least: int) -> Iterator[Ids]:
    """Join pieces until they hold `least` ids: adding them up costs as much as there are signatures."""
    held, size = list[Ids](), 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= least:
            yield np.concatenate(held)
            held, size = [], 0
    if size:
        yield np.concatenate(held)


def largest(totals: Sequence[Totals], number: int) -> dict[bytes, int]:
    """Return the signatures with the greatest sums, and those, the greatest first; of one dictionary."""
    if not totals:
        return {}
    summed = np.sum([each._totals for each in totals], axis=0)  # noqa: SLF001 - of this module
    number = min(number, int(np.count_nonzero(summed)))
    found = np.argpartition(summed, len(summed) - number)[len(summed) - number :] if number else ()
    signatures = totals[0]._signatures  # noqa: SLF001 - as above
    return {signatures[at]: int(summed[at]) for at in sorted(found, key=summed.__getitem__, reverse=True)}
