"""The naive pipeline for comparison: it looks up every permutation of every word.

It processes one word after the other, has no memo and retries nothing. The number of permutations is the
factorial of the number of letters, so words of more than 8 letters are looked up by their signature instead.
"""

import time
from collections.abc import Container, Iterable

from stream.exercise import stages as stages_module
from stream.exercise.orchestrator import Result, check_text, to_result
from stream.exercise.stages import PERMUTED_LETTERS_MAX, Stages


class TaskOrchestrator:
    """The baseline orchestrator."""

    def __init__(self, stages: Stages | None = None) -> None:
        """Use `stages`, or by default the stages in use in this process."""
        self._own = stages

    def process_text(self, text: str) -> Result:
        """Count the anagrams of the text's words.

        Raises:
            ValueError: `text` is not a string.
            StageFailed: a stage failed; the baseline does not retry.
        """
        check_text(text)
        stages = self._own or stages_module.current()
        dictionary = stages.dictionary  # built before the clock starts
        started = time.perf_counter()
        words = stages.get_words(stages.filter_input(text))
        return to_result(started, ((1, _anagrams(stages, dictionary, word)) for word in words))


def _anagrams(stages: Stages, dictionary: Container[str], word: str) -> Iterable[str]:
    if len(word) > PERMUTED_LETTERS_MAX:
        return stages.find_anagrams(word)
    return {order for order in stages.permutations(word) if order in dictionary}
