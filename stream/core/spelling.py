"""Letters counted as numbers, in bulk: every word of a long text at once, no Python object per word.

A signature says how often each letter stands in a word, so it is a number with a digit per letter: in base
23, as two numbers of thirteen letters (and one digit for any character that is no letter). Adding up the
values of a word's characters gives it, in any order; a running sum over a whole text gives every word's, as
the difference of two places. It is exact, not a hash: up to 22 characters no digit overflows into the next.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SEPARATOR = b"\xff"  # in no UTF-8 text
EXACT_MAX = 22  # characters
_BASE = EXACT_MAX + 1
_BLOCK = 1 << 14  # pairs of bytes; the running sums of a block stay in the processor's cache
_LETTERS = b"abcdefghijklmnopqrstuvwxyz"
_LANE = 13
_BORDER = b"\1"  # what the separator becomes; like a space it is below every character of a word
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
        spelling: (words, 2); exact for words of up to `EXACT_MAX` characters.
        long: the words of more, filtered and folded, by their number.
        first: number of the first word of each text; one entry more than texts.
    """

    spelling: Numbers
    long: dict[int, bytes]
    first: Places


def spell(texts: list[bytes]) -> Spelled:
    """Filter, fold, split and spell texts in UTF-8, as `text.words` splits them."""
    joined = SEPARATOR.join([b"", *texts, b""])
    plain = joined if all(map(bytes.isascii, texts)) else _plain_spaces(joined)
    letters = plain.translate(_FOLD, _DROPPED)
    found = np.frombuffer(letters, np.uint8)
    inside = found > ord(" ")
    starts = np.flatnonzero(inside[1:] > inside[:-1])
    starts += 1
    bounds = np.append(starts, len(letters))  # what stands between two words counts nothing
    sums = _running_sums(letters, bounds)
    return Spelled(
        spelling=sums[1:] - sums[:-1],
        long=_long(letters, inside, bounds),
        first=np.searchsorted(starts, np.flatnonzero(found == _BORDER[0])),
    )


def _values() -> Numbers:
    values = np.zeros((256, 2), np.uint64)
    for number, letter in enumerate(_LETTERS):
        values[letter, number // _LANE] = _BASE ** (number % _LANE)
    for digit in b"0123456789":
        values[digit, 1] = _BASE**_LANE
    return values


_VALUES = _values()
_PAIRS = (_VALUES[:, None] + _VALUES).reshape(-1, 2)  # of two bytes, read as one number


def _running_sums(letters: bytes, bounds: Places) -> Numbers:
    """Return the sum of all values before each of `bounds`, modulo 2**64: differences stay exact.

    Bytes are added two at a time. A bound at an odd place has a byte that counts nothing before it, so the
    pairs before it have it all.
    """
    pairs, ends = np.frombuffer(letters, np.uint16, len(letters) // 2), bounds >> 1
    sums = np.zeros((len(ends), 2), np.uint64)
    carry = np.zeros(2, np.uint64)
    done = int(np.searchsorted(ends, 0, side="right"))  # before them there is nothing
    for start in range(0, len(pairs), _BLOCK):
        # No place is out of range; of the three modes `clip` is the fastest.
        running = _PAIRS.take(pairs[start : start + _BLOCK], axis=0, mode="clip")
        running[0] += carry
        np.add.accumulate(running, axis=0, out=running)
        carry = running[-1].copy()
        upto = int(np.searchsorted(ends, start + len(running), side="right"))
        running.take(ends[done:upto] - (start + 1), axis=0, out=sums[done:upto], mode="clip")
        done = upto
    return sums


def _long(letters: bytes, inside: npt.NDArray[np.bool_], bounds: Places) -> dict[int, bytes]:
    """Return the words that are too long to be spelled: those that are still one a character later."""
    far = np.flatnonzero(bounds[1:] - bounds[:-1] > EXACT_MAX)
    far = far[inside[bounds[far] + EXACT_MAX]]
    places = zip(far.tolist(), bounds[far].tolist(), bounds[far + 1].tolist(), strict=True)
    return {number: letters[start:end].rstrip(b" " + _BORDER) for number, start, end in places}


_SPACE_LEADS = np.isin(np.arange(256), sorted({space[0] for space in _FOREIGN_SPACES}))
_SPACE_CODES = np.array([int.from_bytes(space.ljust(3, b"\0")) for space in _FOREIGN_SPACES], np.uint32)
_LEADS_MIN = 0xC2  # where the bytes begin that begin a character of several
_TWO_BYTES = 0xE0  # lead bytes below it begin characters of two


def _plain_spaces(joined: bytes) -> bytes:
    """Put a space where Unicode has white space beyond ASCII; the rest of the character is dropped later."""
    found = np.frombuffer(joined, np.uint8)
    leads = np.flatnonzero(found >= _LEADS_MIN)  # few
    leads = leads[_SPACE_LEADS[found[leads]]]
    if not len(leads):
        return joined
    lead, second, third = (found[leads + n].astype(np.uint32) for n in range(3))
    third[lead < _TWO_BYTES] = 0
    spaces = leads[np.isin(lead << 16 | second << 8 | third, _SPACE_CODES)]
    if not len(spaces):
        return joined
    plain = found.copy()
    plain[spaces] = ord(" ")
    return plain.tobytes()
