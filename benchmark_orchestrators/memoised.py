"""Remember what a word came to: a look-up that is made again is free.

What it shows: texts repeat their words, so that a dictionary of answers pays within one text, and over all
texts that one process sees. Compare its first run with the later ones (`--iterations 1` against 20), and
its memory with that of `lean`: what is remembered is never given back.
"""

from collections.abc import Sequence
from time import perf_counter
from typing import Any

from stream.exercise import stages
from stream.exercise.stages import retried


class TaskOrchestrator:
    """Asks for each word once in its life."""

    def __init__(self) -> None:
        self._known: dict[str, Sequence[str]] = {}

    def process_text(self, text: str) -> dict[str, Any]:
        """Count the anagrams of the text's words."""
        if not isinstance(text, str):
            raise ValueError("a text is a str")  # noqa: TRY004 - the interface
        began = perf_counter()
        steps = stages.current()
        known = self._known
        counts: dict[str, int] = {}
        for word in retried(steps.get_words, retried(steps.filter_input, text)):
            if word not in known:
                known[word] = retried(steps.find_anagrams, word)
            for anagram in known[word]:
                counts[anagram] = counts.get(anagram, 0) + 1
        return {"runtime": (perf_counter() - began) * 1000, "anagram_counts": counts}
