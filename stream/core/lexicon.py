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
_NO_WORD = 2**64 - 1  # no 22 characters add up to it
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
        spelling: (signatures + 1, 2); of one of more than `EXACT_MAX` letters, and at the end, of no word.
        slots: by level, which id stands where; where none does, the number of signatures. Powers of two long.
    """

    digest: str
    words: int
    dropped: int
    signatures: Sequence[bytes]
    pieces: Sequence[bytes]
    spelling: Numbers
    slots: Sequence[Ids]

    def find(self, spelled: Spelled) -> Ids:
        """Return the id of each word; of one without, the number of signatures.

        Each signature stands at the first level where its slot was free.
        """
        ids, left = self._at(0, spelled.spelling)
        for level in range(1, len(self.slots)):
            if not len(left):
                break
            found, missing = self._at(level, spelled.spelling.take(left, axis=0, mode="clip"))
            ids[left] = found
            left = left[missing]
        ids[left] = len(self.signatures)
        if spelled.long:
            ids[list(spelled.long)] = len(self.signatures)
        return ids

    def _at(self, level: int, spelling: Numbers) -> tuple[Ids, npt.NDArray[np.intp]]:
        """Return what stands where these would at a level, and the places of those that it is not."""
        slots = self.slots[level]
        ids = slots.take(_slots_of(spelling, level, len(slots)), mode="clip")
        other = self.spelling.take(ids, axis=0, mode="clip") != spelling
        return ids, np.flatnonzero(other[:, 0] | other[:, 1])

    def finds_its_own(self) -> bool:
        """Whether each signature that can be spelled is found where it stands."""
        ids = _short(self.signatures)
        return np.array_equal(self.find(spell([b" ".join([self.signatures[number] for number in ids])])), ids)


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
    signatures = [key.encode() for key in keys]
    short = np.array(_short(signatures), np.int32)
    spelling = np.full((len(keys) + 1, 2), _NO_WORD, np.uint64)
    spelling[short] = spell([b" ".join([signatures[number] for number in short])]).spelling
    return Lexicon(
        digest=index.digest,
        words=index.words,
        dropped=index.dropped,
        signatures=signatures,
        pieces=[",".join([f'"{word}":1' for word in index.anagrams[key]]).encode() for key in keys],
        spelling=spelling,
        slots=list(_levels(spelling, short)),
    )


def _short(signatures: Sequence[bytes]) -> list[int]:
    return [number for number, key in enumerate(signatures) if len(key) <= EXACT_MAX]


def long_ids(signatures: Sequence[bytes]) -> dict[str, int]:
    """Return the ids of the signatures that are too long to be spelled."""
    return {key.decode(): number for number, key in enumerate(signatures) if len(key) > EXACT_MAX}


def find_long(spelled: Spelled, long: dict[str, int], ids: Ids) -> None:
    """Put in the ids of words that are too long to be spelled; they are few."""
    lengths = {len(key) for key in long}
    for number, word in spelled.long.items():
        if len(word) in lengths:
            ids[number] = long.get(signature(word.decode()), ids[number])


def _levels(spelling: Numbers, left: Ids) -> Iterator[Ids]:
    """Give every id in `left` a slot, the first level even if there is none; it takes nine in ten."""
    for level in range(len(_FACTORS)):
        slots = np.full(1 << max(len(left).bit_length() + 2, _SLOT_BITS_MIN), len(spelling) - 1, np.int32)
        wanted = _slots_of(spelling[left], level, len(slots))
        slots[wanted] = left
        left = left[slots[wanted] != left]
        yield slots
        if not len(left):
            return
    raise AssertionError("a level that takes none has not been seen")


def _slots_of(spelling: Numbers, level: int, slots: int) -> npt.NDArray[np.int64]:
    """Hash by multiplication: the top bits depend on all."""
    mixed = spelling[:, 0] * _FACTORS[level, 0] + spelling[:, 1] * _FACTORS[level, 1]
    mixed >>= np.uint64(65 - slots.bit_length())
    wanted: npt.NDArray[np.int64] = mixed.view(np.int64)
    return wanted
