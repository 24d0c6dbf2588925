"""Computes the same as `decide`, but for many texts at once; tests compare the two over all of Unicode.

Words are spelled as numbers in bulk (`spelling`), looked up in tables, and counted by sorting; the JSON of a
result is joined from pieces that are made once for each signature.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream.core.lexicon import Ids, Lexicon, find_long, long_ids
from stream.core.spelling import spell

GROUP_BYTES = 1 << 18  # texts are counted in groups of about this size, which fit into the CPU's cache
_TIMES_BITS = 32
PIECES_MAX = 100_000  # memo for counts above one; it is cleared when full, which changes no result


@dataclass(frozen=True, slots=True)
class TextCounts:
    """The counts of some texts.

    Attributes:
        entries: for each text, the members of a JSON object: dictionary word -> number of words in the text
            that have its signature.
        words: for each text, the number of words.
        ids: the signature id of each word that has one, in no particular order.
    """

    entries: list[bytes]
    words: list[int]
    ids: Ids

    @property
    def counts_json(self) -> list[bytes]:
        """The JSON object of each text."""
        return [b"{%b}" % entries for entries in self.entries]


class Engine:
    """Counts texts against one dictionary.

    Attributes:
        digest: the digest of the dictionary.
        signatures: the sorted signatures of the dictionary, in ASCII; an id is an index into them.
    """

    def __init__(self, lexicon: Lexicon) -> None:
        self.digest = lexicon.digest
        self.signatures = lexicon.signatures
        self._lexicon = lexicon
        self._long = long_ids(lexicon.signatures)
        self._bits = max(1, len(lexicon.signatures).bit_length())
        self._ones = np.empty(len(lexicon.pieces), np.object_)
        self._ones[:] = lexicon.pieces
        self._many = _Many(self._ones)
        self._texts_max = np.iinfo(np.int32).max >> self._bits

    def count(self, texts: Sequence[bytes]) -> TextCounts:
        """Count the anagrams of the words in each text; texts are in UTF-8."""
        entries, words = list[bytes](), list[int]()
        ids = [np.empty(0, np.int32)]
        for group in self._groups(texts):
            spelled = spell(group)
            per_text = np.diff(spelled.first)
            group_ids = self._lexicon.find(spelled)
            find_long(spelled, self._long, group_ids)
            known = group_ids < len(self.signatures)
            text = np.repeat(np.arange(len(group), dtype=np.int32), per_text)
            ids.append(group_ids[known])
            entries += self._entries(text[known], ids[-1], len(group))
            words += per_text.tolist()
        return TextCounts(entries, words, np.concatenate(ids))

    def _groups(self, texts: Sequence[bytes]) -> Iterator[list[bytes]]:
        group, size = list[bytes](), 0
        for text in texts:
            group.append(text)
            size += len(text)
            if size >= GROUP_BYTES or len(group) >= self._texts_max:
                yield group
                group, size = [], 0
        if group:
            yield group

    def _entries(self, text: Ids, ids: Ids, texts: int) -> Iterator[bytes]:
        """Count equal pairs of text and id; sorting makes equal pairs adjacent."""
        pairs = text << self._bits | ids
        pairs.sort()
        firsts = np.flatnonzero(np.diff(pairs, prepend=-1))
        distinct = pairs[firsts]
        ids = distinct & ((1 << self._bits) - 1)
        pieces = self._ones.take(ids, mode="clip")
        times = np.diff(firsts, append=len(pairs))
        repeated = np.flatnonzero(times > 1)
        if len(repeated):
            wanted = ids[repeated].astype(np.int64) << _TIMES_BITS | times[repeated]
            pieces[repeated] = list(map(self._many.__getitem__, wanted.tolist()))
        ends = np.searchsorted(distinct, np.arange(texts + 1, dtype=np.int64) << self._bits).tolist()
        spans = map(pieces.tolist().__getitem__, map(slice, ends, ends[1:]))
        return map(b",".join, spans)


class _Many(dict[int, bytes]):
    """Maps an id and a count above one to JSON entries, derived from those for a count of one."""

    def __init__(self, ones: npt.NDArray[np.object_]) -> None:
        super().__init__()
        self._ones = ones

    def __missing__(self, wanted: int) -> bytes:
        if len(self) >= PIECES_MAX:
            self.clear()
        number, times = wanted >> _TIMES_BITS, wanted & ((1 << _TIMES_BITS) - 1)
        one: bytes = self._ones[number]
        made = self[wanted] = one.replace(b":1", b":%d" % times)
        return made
