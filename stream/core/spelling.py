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
_BLOCK = 1 << 14  # bytes; the running sums of a block stay in the processor's cache
_LETTERS = b"abcdefghijklmnopqrstuvwxyz"
_LANE = 13
_FOLD = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZ-\t\n\v\f\r\x1c\x1d\x1e\x1f", _LETTERS + b" " + b" " * len("\t\n\v\f\r----")
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
        letters: the texts, filtered and folded, one behind the other.
        starts: place of each word in `letters`.
        lengths: of each word, in characters.
        spelling: (words, 2); exact for words of up to `EXACT_MAX` characters.
        first: number of the first word of each text; one entry more than texts.
    """

    letters: bytes
    starts: Places
    lengths: Places
    spelling: Numbers
    first: Places


def spell(texts: list[bytes]) -> Spelled:
    """Filter, fold, split and spell texts in UTF-8, as `text.words` splits them."""
    joined = SEPARATOR.join([b"", *texts, b""])
    plain = joined if all(map(bytes.isascii, texts)) else _plain_spaces(joined)
    letters = plain.translate(_FOLD, _DROPPED)
    found = np.frombuffer(letters, np.uint8)
    inside = (found > ord(" ")) & (found < SEPARATOR[0])
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    sums = _running_sums(found, edges)
    starts = edges[::2]
    return Spelled(
        letters=letters,
        starts=starts,
        lengths=edges[1::2] - starts,
        spelling=sums[1::2] - sums[::2],
        first=np.searchsorted(starts, np.flatnonzero(found == SEPARATOR[0])),
    )


def _values() -> Numbers:
    values = np.zeros((256, 2), np.uint64)
    for number, letter in enumerate(_LETTERS):
        values[letter, number // _LANE] = _BASE ** (number % _LANE)
    for digit in b"0123456789":
        values[digit, 1] = _BASE**_LANE
    return values


_VALUES = _values()


def _running_sums(letters: npt.NDArray[np.uint8], edges: Places) -> Numbers:
    """Return the sum of all values before each of `edges`, modulo 2**64: differences stay exact."""
    sums = np.empty((len(edges), 2), np.uint64)
    running = np.empty((min(_BLOCK, len(letters)), 2), np.uint64)
    carry = np.zeros(2, np.uint64)
    done = 0
    for start in range(0, len(letters), _BLOCK):
        # No place is out of range; of the three modes `clip` is the fastest.
        values = _VALUES.take(letters[start : start + _BLOCK], axis=0, mode="clip")
        values[0] += carry
        np.cumsum(values, axis=0, out=running[: len(values)])
        carry = running[len(values) - 1].copy()
        upto = int(np.searchsorted(edges, start + len(values), side="right"))
        running.take(edges[done:upto] - (start + 1), axis=0, out=sums[done:upto], mode="clip")
        done = upto
    return sums


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
