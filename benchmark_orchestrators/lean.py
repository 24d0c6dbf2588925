"""Hold as little as can be: the text is taken in pieces, and nothing is remembered.

What it shows: the memory beyond the dictionary does not grow with the text, only with the words that were
found. The price is time: each piece goes through the first stages by itself, and each word is looked up
each time it comes.
"""

from collections.abc import Iterator
from time import perf_counter
from typing import Any

from stream.exercise import stages
from stream.exercise.stages import retried

PIECE_CHARS = 4096


class TaskOrchestrator:
    """Goes through the text piece by piece."""

    def process_text(self, text: str) -> dict[str, Any]:
        """Count the anagrams of the text's words."""
        if not isinstance(text, str):
            raise ValueError("a text is a str")  # noqa: TRY004 - the interface
        began = perf_counter()
        steps = stages.current()
        counts: dict[str, int] = {}
        for piece in pieces(text):
            for word in retried(steps.get_words, retried(steps.filter_input, piece)):
                for anagram in retried(steps.find_anagrams, word):
                    counts[anagram] = counts.get(anagram, 0) + 1
        return {"runtime": (perf_counter() - began) * 1000, "anagram_counts": counts}


def pieces(text: str) -> Iterator[str]:
    """Cut a text at spaces, so that no word is cut; a piece is longer where there is none."""
    at = 0
    while at < len(text):
        end = text.find(" ", at + PIECE_CHARS)
        end = len(text) if end < 0 else end
        yield text[at:end]
        at = end
