"""Sort the letters of all words at once, in an array.

What it shows: one call on many words costs less for each than many calls; but the words must get into the
array and out of it. It needs a long text to win anything: hold `small` against `large`. The dictionary is
turned into its arrays once, in the constructor. It uses the first two stages; the look-up itself is its
own, so that under `--faults` it meets fewer failures than others.
"""

from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.exercise import stages
from stream.exercise.stages import retried


class TaskOrchestrator:
    """Counts signatures in arrays."""

    def __init__(self) -> None:
        anagrams = stages.current().index.anagrams
        self._letters_max = max(map(len, anagrams))
        # Sorted downwards, for what fills short words up is zero, and numpy drops zeros at the end alone.
        self._words = {key[::-1].encode(): words for key, words in anagrams.items()}

    def process_text(self, text: str) -> dict[str, Any]:
        """Count the anagrams of the text's words."""
        if not isinstance(text, str):
            raise ValueError("a text is a str")  # noqa: TRY004 - the interface
        began = perf_counter()
        steps = stages.current()
        tokens = retried(steps.get_words, retried(steps.filter_input, text))
        counts: dict[str, int] = {}
        keys, times = np.unique(self._signatures(tokens), return_counts=True)
        for key, n in zip(keys.tolist(), times.tolist(), strict=True):
            for word in self._words.get(key, ()):
                counts[word] = n
        return {"runtime": (perf_counter() - began) * 1000, "anagram_counts": counts}

    def _signatures(self, tokens: list[str]) -> NDArray[np.bytes_]:
        """Return a signature for each word that is not longer than all of the dictionary."""
        width = self._letters_max
        words = np.array([token for token in tokens if len(token) <= width], dtype=f"S{width}")
        letters = words.view(np.uint8).reshape(len(words), width)
        return np.sort(letters, axis=1)[:, ::-1].copy().view(f"S{width}").ravel()
