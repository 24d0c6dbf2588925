"""The expected output of the texts, from the definition (`core/decide`), not from the measured code."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from stream.core.decide import Decider
from stream.core.dictionary import AnagramIndex
from stream.tools.load_test.texts import Recipe, make_texts

_COUNTS, _SOURCE = b'"anagram_counts":', b',"source":'


@dataclass(frozen=True, slots=True)
class _Expected:
    """The expected result of a text."""

    counts_hash: int
    words: int


class ExpectedOutput:
    """The expected output of the texts of a recipe.

    Attributes:
        text_bytes_max: size of the longest text.
        result_bytes_max: size of the longest counts, as JSON.
    """

    def __init__(self, index: AnagramIndex, recipe: Recipe) -> None:
        words = [word for same in index.anagrams.values() for word in same]
        self._texts: Sequence[str] = make_texts(words, recipe)
        self._decider = Decider(index)
        self._totals: Counter[str] = Counter()
        self._expected: list[_Expected] = []
        self._right_hashes: list[int] = [0] * len(self._texts)  # hash of the last correct result
        self.text_bytes_max = self.result_bytes_max = 0
        for text in self._texts:
            decision = self._decider.decide(text)
            self._totals.update(decision.deltas)
            self._expected.append(_Expected(_hash(decision.anagram_counts), decision.words))
            self.text_bytes_max = max(self.text_bytes_max, len(text.encode()))
            self.result_bytes_max = max(self.result_bytes_max, len(decision.counts_json))

    def words(self, blobs: int) -> int:
        """Return the number of words of the first blobs."""
        cycles, rest = divmod(blobs, len(self._expected))
        return cycles * sum(each.words for each in self._expected) + sum(
            each.words for each in self._expected[:rest]
        )

    def words_of(self, number: int) -> int:
        """Return the number of words of one blob."""
        return self._expected[number % len(self._expected)].words

    def totals(self, blobs: int) -> Counter[str]:
        """Return signature -> total of the first blobs."""
        cycles, rest = divmod(blobs, len(self._texts))
        totals = Counter({key: cycles * total for key, total in self._totals.items()} if cycles else {})
        for text in self._texts[:rest]:
            totals.update(self._decider.decide(text).deltas)
        return totals

    def is_right(self, number: int, value: bytes) -> bool:
        """Whether a result has the counts and words of the blob with this number."""
        position = number % len(self._expected)
        # Texts repeat, so nearly always the same bytes were already checked.
        result_hash = hash(value[value.find(_COUNTS) : value.rfind(_SOURCE)])
        if result_hash == self._right_hashes[position]:
            return True
        result = orjson.loads(value)
        expected = self._expected[position]
        if result["words"] != expected.words or _hash(result["anagram_counts"]) != expected.counts_hash:
            return False
        self._right_hashes[position] = result_hash
        return True


def source_partition(value: bytes) -> int:
    """Return the input partition that a result names."""
    source = orjson.loads(value[value.rfind(_SOURCE) + len(_SOURCE) : -1])
    return int(source["partition"])


def _hash(counts: object) -> int:
    return hash(orjson.dumps(counts, option=orjson.OPT_SORT_KEYS))
