"""The readable definition of counting: the counts of one text, and how deltas change totals.

The worker computes the same faster, with `engine` and `totals`. Tests, audits and load tests compare with
this definition.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import orjson

from stream.core.dictionary import AnagramIndex
from stream.core.signature import signature
from stream.core.text import words

Key = TypeVar("Key", str, bytes)


@dataclass(frozen=True, slots=True)
class Decision:
    """The counts of one blob.

    Attributes:
        anagram_counts: dictionary word -> number of words in the text that have its signature.
        deltas: signature in the dictionary -> increase of its total.
        words: number of words in the text.
    """

    anagram_counts: Mapping[str, int]
    deltas: Mapping[str, int]
    words: int

    @property
    def counts_json(self) -> bytes:
        """`anagram_counts` as JSON."""
        return orjson.dumps(self.anagram_counts)


class Decider:
    """Counts texts against one dictionary, with a memo of signatures.

    The memo is bounded; when it is full, it is cleared, which costs time but changes no result.
    """

    MEMO_WORDS_MAX = 1_000_000

    def __init__(self, index: AnagramIndex) -> None:
        self._anagrams = index.anagrams
        self._memo: dict[str, str | None] = {}  # word -> its signature; None if unknown

    def decide(self, text: str) -> Decision:
        """Count the anagrams of the text's words."""
        tokens = words(text)
        memo = self._memo
        deltas: dict[str, int] = {}
        for word, n in Counter(tokens).items():
            key = memo[word] if word in memo else self._look_up(word)
            if key is not None:
                deltas[key] = deltas.get(key, 0) + n
        counts = {word: deltas[key] for key in sorted(deltas) for word in self._anagrams[key]}
        return Decision(counts, deltas, len(tokens))

    def _look_up(self, word: str) -> str | None:
        key = signature(word)
        known_key = key if key in self._anagrams else None
        if len(self._memo) >= self.MEMO_WORDS_MAX:
            self._memo.clear()
        self._memo[word] = known_key
        return known_key


def merge(deltas: Iterable[Mapping[Key, int]]) -> dict[Key, int]:
    """Add up deltas: signature -> sum of the increases of its total."""
    merged: dict[Key, int] = {}
    for delta in deltas:
        for key, increase in delta.items():
            merged[key] = merged.get(key, 0) + increase
    return merged


def fold(totals: Mapping[Key, int], deltas: Iterable[Mapping[Key, int]]) -> dict[Key, int]:
    """Return the new totals of the signatures in the deltas."""
    return {key: totals.get(key, 0) + increase for key, increase in merge(deltas).items()}
