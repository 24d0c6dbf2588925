"""The naive pipeline that others are compared with: every permutation of every word is looked up.

One word after the other, nothing remembered, nothing tried again. The permutations of a word grow with the
factorial of its letters, so words of more than 8 letters are looked up by their signature instead.
"""

import time
from collections.abc import Container, Iterable

from stream.exercise import stages as in_use
from stream.exercise.orchestrator import Result, check_text, finished
from stream.exercise.stages import PERMUTED_LETTERS_MAX, Stages


class TaskOrchestrator:
    """The baseline."""

    def __init__(self, stages: Stages | None = None) -> None:
        """Without stages of its own it works on those that are in use."""
        self._own = stages

    def process_text(self, text: str) -> Result:
        """Count the anagrams of the text's words.

        Raises:
            ValueError: that is not a text.
            StageFailed: a stage failed; nothing is tried again.
        """
        check_text(text)
        stages = self._own or in_use.current()
        known = stages.dictionary  # made before the clock starts
        started = time.perf_counter()
        words = stages.get_words(stages.filter_input(text))
        return finished(started, ((1, _anagrams(stages, known, word)) for word in words))


def _anagrams(stages: Stages, known: Container[str], word: str) -> Iterable[str]:
    if len(word) > PERMUTED_LETTERS_MAX:
        return stages.find_anagrams(word)
    return {made for made in stages.permutations(word) if made in known}
