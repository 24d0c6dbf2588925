"""A dictionary in the form that the engine needs: arrays and JSON pieces, built once and cached on disk."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from stream.core.dictionary import AnagramIndex
from stream.core.signature import signature
from stream.core.spelling import EXACT_MAX, Numbers, Spelled, spell

Ids = npt.NDArray[np.int32]
"""Signature ids: indexes into the sorted list of the dictionary's signatures."""

_SLOT_BITS_MIN = 15
_NO_WORD = 2**64 - 1  # no word of up to 22 characters has this spelling
# Two odd factors per level; any odd numbers work, but a cached table needs the same ones in every process.
_FACTORS = np.frombuffer(b"".join(sha256(b"%d" % n).digest()[:16] for n in range(64)), "<u8").reshape(-1, 2)
_FACTORS = _FACTORS | np.uint64(1)


@dataclass(frozen=True, slots=True)
class Lexicon:
    """A dictionary, ready for counting many blobs at once.

    Attributes:
        digest: the digest of the words, as in the index.
        words: number of words.
        dropped: number of entries with characters other than a-z.
        signatures: the sorted signatures, in ASCII; an id is an index into them.
        pieces: by id, the JSON entries that one word with this signature adds, such as `"act":1,"cat":1`.
        spelling: shape (signatures + 1, 2), by id; `_NO_WORD` for signatures of more than `EXACT_MAX` letters
            and in the last row.
        slots: the hash table of each level: ids; an empty slot contains the number of signatures. The lengths
            are powers of two.
    """

    digest: str
    words: int
    dropped: int
    signatures: Sequence[bytes]
    pieces: Sequence[bytes]
    spelling: Numbers
    slots: Sequence[Ids]

    def find(self, spelled: Spelled) -> Ids:
        """Return the id of each word's signature, or the number of signatures if the word has none.

        Each signature is stored at the first level where its slot was free.
        """
        ids, missing = self._look_up(0, spelled.spelling)
        for level in range(1, len(self.slots)):
            if not len(missing):
                break
            level_ids, others = self._look_up(level, spelled.spelling.take(missing, axis=0, mode="clip"))
            ids[missing] = level_ids
            missing = missing[others]
        ids[missing] = len(self.signatures)
        if spelled.long:
            ids[list(spelled.long)] = len(self.signatures)
        return ids

    def _look_up(self, level: int, spelling: Numbers) -> tuple[Ids, npt.NDArray[np.intp]]:
        """Return the ids in the slots of these spellings, and the positions where the id has another one."""
        slots = self.slots[level]
        ids = slots.take(_slots_of(spelling, level, len(slots)), mode="clip")
        other = self.spelling.take(ids, axis=0, mode="clip") != spelling
        return ids, np.flatnonzero(other[:, 0] | other[:, 1])

    def is_consistent(self) -> bool:
        """Whether `find` returns the id of each signature of up to `EXACT_MAX` letters."""
        ids = _short(self.signatures)
        return np.array_equal(self.find(spell([b" ".join([self.signatures[number] for number in ids])])), ids)


@dataclass(frozen=True, slots=True)
class Packed:
    """A lexicon with two large objects instead of many small ones.

    Forked processes share large objects; small ones are copied as soon as their reference counts change.

    Attributes:
        lexicon: the lexicon without signatures and pieces.
        signatures: the signatures, one per line.
        pieces: the pieces, one per line.
    """

    lexicon: Lexicon
    signatures: bytes
    pieces: bytes

    def unpack(self) -> Lexicon:
        signatures, pieces = self.signatures.split(b"\n"), self.pieces.split(b"\n")
        return replace(self.lexicon, signatures=signatures, pieces=pieces)


def pack(lexicon: Lexicon) -> Packed:
    """Pack a lexicon that has at least one signature."""
    bare = replace(lexicon, signatures=(), pieces=())
    return Packed(bare, b"\n".join(lexicon.signatures), b"\n".join(lexicon.pieces))


def make_lexicon(index: AnagramIndex) -> Lexicon:
    """Return the lexicon of a dictionary."""
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
    """Return signature -> id of the signatures of more than `EXACT_MAX` letters."""
    return {key.decode(): number for number, key in enumerate(signatures) if len(key) > EXACT_MAX}


def find_long(spelled: Spelled, long: dict[str, int], ids: Ids) -> None:
    """Set the ids of words of more than `EXACT_MAX` characters in `ids`; such words are rare."""
    lengths = {len(key) for key in long}
    for number, word in spelled.long.items():
        if len(word) in lengths:
            ids[number] = long.get(signature(word.decode()), ids[number])


def _levels(spelling: Numbers, ids: Ids) -> Iterator[Ids]:
    """Yield levels until every id has a slot, at least one level; the first one has about 90 % of them."""
    for level in range(len(_FACTORS)):
        slots = np.full(1 << max(len(ids).bit_length() + 2, _SLOT_BITS_MIN), len(spelling) - 1, np.int32)
        wanted = _slots_of(spelling[ids], level, len(slots))
        slots[wanted] = ids
        ids = ids[slots[wanted] != ids]
        yield slots
        if not len(ids):
            return
    raise AssertionError(f"{len(ids)} ids have no slot after {len(_FACTORS)} levels")


def _slots_of(spelling: Numbers, level: int, slots: int) -> npt.NDArray[np.int64]:
    """Return the slot of each spelling by multiplicative hashing: the top bits depend on all bits."""
    mixed = spelling[:, 0] * _FACTORS[level, 0] + spelling[:, 1] * _FACTORS[level, 1]
    mixed >>= np.uint64(65 - slots.bit_length())
    wanted: npt.NDArray[np.int64] = mixed.view(np.int64)
    return wanted
