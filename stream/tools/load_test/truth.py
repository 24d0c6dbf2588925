"""What texts must come to, computed by the definition (`core/decide`) and not by what is measured."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from stream.core.decide import Decider, Decision
from stream.core.dictionary import AnagramIndex
from stream.tools.load_test.texts import Recipe, make_texts

_COUNTS, _SOURCE = b'"anagram_counts":', b',"source":'


@dataclass(frozen=True, slots=True)
class _Right:
    """What a text comes to; of the counts a hash."""

    counts: int
    words: int


class Truth:
    """What the pool of a recipe comes to.

    Attributes:
        text_bytes_max: the longest text; result_bytes_max: the longest counts as JSON.
        source_bytes: the texts' mean.
    """

    def __init__(self, index: AnagramIndex, recipe: Recipe) -> None:
        words = [word for same in index.anagrams.values() for word in same]
        self._texts: Sequence[str] = make_texts(words, recipe)
        self._decider = Decider(index)
        self._totals: Counter[str] = Counter()
        self._right: list[_Right] = []
        self._known: list[int] = [0] * len(self._texts)  # hash of bytes that were found right
        self.text_bytes_max = self.result_bytes_max = 0
        for text in self._texts:
            decision = self._decider.decide(text)
            self._totals.update(decision.deltas)
            self._right.append(_Right(_hash(decision), decision.words))
            self.text_bytes_max = max(self.text_bytes_max, len(text.encode()))
            self.result_bytes_max = max(self.result_bytes_max, len(decision.counts_json))

    def words(self, blobs: int) -> int:
        """Return the words of the first blobs."""
        cycles, rest = divmod(blobs, len(self._right))
        return cycles * sum(right.words for right in self._right) + sum(
            right.words for right in self._right[:rest]
        )

    def words_of(self, number: int) -> int:
        """Return the words of one blob."""
        return self._right[number % len(self._right)].words

    def totals(self, blobs: int) -> Counter[str]:
        """Return the totals of the first blobs: signature -> number."""
        cycles, rest = divmod(blobs, len(self._texts))
        totals = Counter({key: cycles * total for key, total in self._totals.items()} if cycles else {})
        for text in self._texts[:rest]:
            totals.update(self._decider.decide(text).deltas)
        return totals

    def is_right(self, number: int, value: bytes) -> bool:
        """Whether a result's counts and words are those of the blob of that number."""
        at = number % len(self._right)
        # The same bytes were looked at before, nearly always: the same text comes again and again.
        written = hash(value[value.find(_COUNTS) : value.rfind(_SOURCE)])
        if written == self._known[at]:
            return True
        result = orjson.loads(value)
        right = self._right[at]
        if result["words"] != right.words or _hashed(result["anagram_counts"]) != right.counts:
            return False
        self._known[at] = written
        return True


def source_partition(value: bytes) -> int:
    """Return the input partition that a result names."""
    source = orjson.loads(value[value.rfind(_SOURCE) + len(_SOURCE) : -1])
    return int(source["partition"])


def _hash(decision: Decision) -> int:
    return _hashed(decision.anagram_counts)


def _hashed(counts: object) -> int:
    return hash(orjson.dumps(counts, option=orjson.OPT_SORT_KEYS))
