"""Converts all words of long texts to numbers at once, without a Python object per word.

A signature states how often each letter occurs in a word, so it can be written as a number with one digit per
letter. This spelling uses base 23 and two numbers of thirteen letters each (plus one digit for all of 0-9).
It is the sum of the values of a word's characters, in any order; the spelling of each word is the difference
between the running sums of the text at two positions. It is exact, not a hash: up to 22 characters, no digit
overflows into the next.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SEPARATOR = b"\xff"  # never occurs in UTF-8
EXACT_MAX = 22  # characters
_BASE = EXACT_MAX + 1
_BLOCK = 1 << 14  # pairs of bytes; the running sums of a block fit in the processor's cache
_LETTERS = b"abcdefghijklmnopqrstuvwxyz"
_LANE = 13
_BORDER = b"\1"  # replaces the separator; like a space, it is below all characters of words
_FOLD = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZ-\t\n\v\f\r\x1c\x1d\x1e\x1f" + SEPARATOR,
    _LETTERS + b" " + b" " * len("\t\n\v\f\r----") + _BORDER,
)
_KEPT = frozenset(_LETTERS + _LETTERS.upper() + b"0123456789 \t\n\v\f\r\x1c\x1d\x1e\x1f-" + SEPARATOR)
_DROPPED = bytes(byte for byte in range(256) if byte not in _KEPT)
_FOREIGN_SPACES = tuple(chr(code).encode() for code in range(0x80, 0x3001) if chr(code).isspace())

Numbers = npt.NDArray[np.uint64]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Spelled:
    """The words of several texts.

    Attributes:
        spelling: shape (words, 2); exact for words of up to `EXACT_MAX` characters.
        long: longer words by their position among all words, filtered and in lower case.
        first: position of the first word of each text; the last entry is the number of all words.
    """

    spelling: Numbers
    long: dict[int, bytes]
    first: Places


def spell(texts: list[bytes]) -> Spelled:
    """Split texts in UTF-8 into words as `text.words` does, and spell the words."""
    joined = SEPARATOR.join([b"", *texts, b""])
    plain = joined if all(map(bytes.isascii, texts)) else _plain_spaces(joined)
    letters = plain.translate(_FOLD, _DROPPED)
    characters = np.frombuffer(letters, np.uint8)
    inside = characters > ord(" ")
    starts = np.flatnonzero(inside[1:] > inside[:-1])
    starts += 1
    bounds = np.append(starts, len(letters))  # characters between two words have the value 0
    sums = _running_sums(letters, bounds)
    return Spelled(
        spelling=sums[1:] - sums[:-1],
        long=_long(letters, inside, bounds),
        first=np.searchsorted(starts, np.flatnonzero(characters == _BORDER[0])),
    )


def _values() -> Numbers:
    values = np.zeros((256, 2), np.uint64)
    for number, letter in enumerate(_LETTERS):
        values[letter, number // _LANE] = _BASE ** (number % _LANE)
    for digit in b"0123456789":
        values[digit, 1] = _BASE**_LANE
    return values


_VALUES = _values()
_PAIRS = (_VALUES[:, None] + _VALUES).reshape(-1, 2)  # the values of two bytes that are read as one number


def _running_sums(letters: bytes, bounds: Places) -> Numbers:
    """Return the sum of all values before each of `bounds`, modulo 2**64: differences stay exact.

    Bytes are added in pairs. The byte before a bound at an odd position has the value 0, so the whole pairs
    before the bound give its sum.
    """
    pairs, ends = np.frombuffer(letters, np.uint16, len(letters) // 2), bounds >> 1
    sums = np.zeros((len(ends), 2), np.uint64)
    carry = np.zeros(2, np.uint64)
    done = int(np.searchsorted(ends, 0, side="right"))  # the sum before them is 0
    for start in range(0, len(pairs), _BLOCK):
        # No index is out of range; of the three modes `clip` is the fastest.
        running = _PAIRS.take(pairs[start : start + _BLOCK], axis=0, mode="clip")
        running[0] += carry
        np.add.accumulate(running, axis=0, out=running)
        carry = running[-1].copy()
        upto = int(np.searchsorted(ends, start + len(running), side="right"))
        running.take(ends[done:upto] - (start + 1), axis=0, out=sums[done:upto], mode="clip")
        done = upto
    return sums


def _long(letters: bytes, inside: npt.NDArray[np.bool_], bounds: Places) -> dict[int, bytes]:
    """Return the words of more than `EXACT_MAX` characters: those whose next character is in the word."""
    numbers = np.flatnonzero(bounds[1:] - bounds[:-1] > EXACT_MAX)
    numbers = numbers[inside[bounds[numbers] + EXACT_MAX]]
    spans = zip(numbers.tolist(), bounds[numbers].tolist(), bounds[numbers + 1].tolist(), strict=True)
    return {number: letters[start:end].rstrip(b" " + _BORDER) for number, start, end in spans}


_SPACE_LEADS = np.isin(np.arange(256), sorted({space[0] for space in _FOREIGN_SPACES}))
_SPACE_CODES = np.array([int.from_bytes(space.ljust(3, b"\0")) for space in _FOREIGN_SPACES], np.uint32)
_LEADS_MIN = 0xC2  # the lowest lead byte of a multi-byte character
_TWO_BYTES = 0xE0  # lead bytes below this one start two-byte characters


def _plain_spaces(joined: bytes) -> bytes:
    """Replace the lead byte of non-ASCII white space with a space; its other bytes are dropped later."""
    characters = np.frombuffer(joined, np.uint8)
    leads = np.flatnonzero(characters >= _LEADS_MIN)  # few
    leads = leads[_SPACE_LEADS[characters[leads]]]
    if not len(leads):
        return joined
    lead, second, third = (characters[leads + n].astype(np.uint32) for n in range(3))
    third[lead < _TWO_BYTES] = 0
    spaces = leads[np.isin(lead << 16 | second << 8 | third, _SPACE_CODES)]
    if not len(spaces):
        return joined
    plain = characters.copy()
    plain[spaces] = ord(" ")
    return plain.tobytes()
