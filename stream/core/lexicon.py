"""A dictionary as arrays and pieces: all that counting needs of it, made once and kept on disk."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from stream.core.dictionary import AnagramIndex
from stream.core.signature import signature
from stream.core.spelling import EXACT_MAX, Numbers, Spelled, spell

Ids = npt.NDArray[np.int32]
"""Numbers of signatures: their places in the sorted list of the dictionary's."""

_SLOT_BITS_MIN = 15
# Any odd factors do; these are the same everywhere, so that a table may be kept. Two for each level.
_FACTORS = np.frombuffer(b"".join(sha256(b"%d" % n).digest()[:16] for n in range(64)), "<u8").reshape(-1, 2)
_FACTORS = _FACTORS | np.uint64(1)


@dataclass(frozen=True, slots=True)
class Lexicon:
    """A dictionary, ready for counting many blobs at once.

    Attributes:
        digest: of the words, as the index has it.
        words: how many were kept.
        dropped: how many entries were not of the letters a-z alone.
        signatures: sorted, in ASCII; an id is a place here.
        pieces: of each signature, the entries of a result's JSON for one word of it, as `"act":1,"cat":1`.
        spelling: (short signatures, 2); of those of up to `EXACT_MAX` letters, in their order.
        short_ids: id of each of those.
        slots: by level, what stands where: a place in `spelling`. Powers of two long.
    """

    digest: str
    words: int
    dropped: int
    signatures: Sequence[bytes]
    pieces: Sequence[bytes]
    spelling: Numbers
    short_ids: Ids
    slots: Sequence[Ids]

    def find(self, spelled: Spelled) -> Ids:
        """Return the id of each word; of one without, the number of signatures.

        Each signature stands at the first level where its slot was free. An empty slot names the place 0,
        which the comparison finds to be spelled otherwise.
        """
        ids = np.full(len(spelled.spelling), len(self.signatures), np.int32)
        left, spelling = None, spelled.spelling
        for level, slots in enumerate(self.slots):
            places = slots.take(_slots_of(spelling, level, len(slots)), mode="clip")
            same = self.spelling.take(places, axis=0, mode="clip") == spelling
            found = same[:, 0] & same[:, 1]
            if left is None:
                np.copyto(ids, self.short_ids.take(places, mode="clip"), where=found)
                left = np.flatnonzero(~found)
            else:
                ids[left[found]] = self.short_ids.take(places[found], mode="clip")
                left = left[~found]
            if not len(left):
                break
            spelling = spelled.spelling.take(left, axis=0, mode="clip")
        ids[spelled.lengths > EXACT_MAX] = len(self.signatures)
        return ids

    def finds_its_own(self) -> bool:
        """Whether each signature that can be spelled is found where it stands."""
        short = [self.signatures[number] for number in self.short_ids.tolist()]
        return np.array_equal(self.find(spell([b" ".join(short)])), self.short_ids)


@dataclass(frozen=True, slots=True)
class Packed:
    """A lexicon whose many small objects are two large ones.

    Forked processes share those, while each object is copied as soon as a process counts its references.

    Attributes:
        lexicon: without signatures and pieces.
        signatures: a line each.
        pieces: the same.
    """

    lexicon: Lexicon
    signatures: bytes
    pieces: bytes

    def unpack(self) -> Lexicon:
        """Return the lexicon."""
        signatures, pieces = self.signatures.split(b"\n"), self.pieces.split(b"\n")
        return replace(self.lexicon, signatures=signatures, pieces=pieces)


def pack(lexicon: Lexicon) -> Packed:
    """Pack a lexicon; it has signatures."""
    bare = replace(lexicon, signatures=(), pieces=())
    return Packed(bare, b"\n".join(lexicon.signatures), b"\n".join(lexicon.pieces))


def make_lexicon(index: AnagramIndex) -> Lexicon:
    """Make the lexicon of a dictionary."""
    keys = sorted(index.anagrams)
    short = [number for number, key in enumerate(keys) if len(key) <= EXACT_MAX]
    spelling = spell([" ".join([keys[number] for number in short]).encode()]).spelling
    return Lexicon(
        digest=index.digest,
        words=index.words,
        dropped=index.dropped,
        signatures=[key.encode() for key in keys],
        pieces=[",".join([f'"{word}":1' for word in index.anagrams[key]]).encode() for key in keys],
        spelling=spelling,
        short_ids=np.array(short, np.int32),
        slots=list(_levels(spelling)),
    )


def long_ids(signatures: Sequence[bytes]) -> dict[str, int]:
    """Return the ids of the signatures that are too long to be spelled."""
    return {key.decode(): number for number, key in enumerate(signatures) if len(key) > EXACT_MAX}


def find_long(spelled: Spelled, long: dict[str, int], ids: Ids) -> None:
    """Put in the ids of words that are too long to be spelled; they are few."""
    lengths = sorted({len(key) for key in long})
    for number in np.flatnonzero(np.isin(spelled.lengths, lengths)).tolist() if lengths else ():
        start = spelled.starts[number]
        word = spelled.letters[start : start + spelled.lengths[number]].decode()
        ids[number] = long.get(signature(word), ids[number])


def _levels(spelling: Numbers) -> Iterator[Ids]:
    """Give every spelling a slot; the first level takes nine in ten."""
    left = np.arange(len(spelling), dtype=np.int32)
    for level in range(len(_FACTORS)):
        if not len(left):
            return
        slots = np.zeros(1 << max(len(left).bit_length() + 2, _SLOT_BITS_MIN), np.int32)
        wanted = _slots_of(spelling[left], level, len(slots))
        slots[wanted] = left
        left = left[slots[wanted] != left]
        yield slots
    raise AssertionError("a level that takes none has not been seen")


def _slots_of(spelling: Numbers, level: int, slots: int) -> npt.NDArray[np.int64]:
    """Hash by multiplication: the top bits depend on all."""
    mixed = spelling[:, 0] * _FACTORS[level, 0] + spelling[:, 1] * _FACTORS[level, 1]
    mixed >>= np.uint64(65 - slots.bit_length())
    wanted: npt.NDArray[np.int64] = mixed.view(np.int64)
    return wanted
