"""Use as little memory as possible: process the text in pieces, without a memo.

What it shows: apart from the dictionary, memory does not grow with the text, only with the number of
distinct words counted. The price is time: each piece passes the first stages separately, and each occurrence
of a word is looked up.
"""

from collections.abc import Iterator
from time import perf_counter
from typing import Any

from stream.exercise import stages
from stream.exercise.stages import retried

PIECE_CHARS = 4096


class TaskOrchestrator:
    """Counts piece by piece."""

    def process_text(self, text: str) -> dict[str, Any]:
        """Count the anagrams of the text's words."""
        if not isinstance(text, str):
            raise ValueError("the text must be a str")  # noqa: TRY004 - the interface
        started = perf_counter()
        steps = stages.current()
        counts: dict[str, int] = {}
        for piece in pieces(text):
            for word in retried(steps.get_words, retried(steps.filter_input, piece)):
                for anagram in retried(steps.find_anagrams, word):
                    counts[anagram] = counts.get(anagram, 0) + 1
        return {"runtime": (perf_counter() - started) * 1000, "anagram_counts": counts}


def pieces(text: str) -> Iterator[str]:
    """Split a text at spaces, so that no word is split; a piece is longer if it has no space."""
    start = 0
    while start < len(text):
        end = text.find(" ", start + PIECE_CHARS)
        end = len(text) if end < 0 else end
        yield text[start:end]
        start = end
