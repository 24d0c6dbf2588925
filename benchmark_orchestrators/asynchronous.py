"""Look all words up at the same time, each tried again by itself.

What it shows: where a stage waits (`--faults original`: a quarter of a second a word), waiting together
costs as much as waiting once, and a word that fails holds up no other. Where nothing waits, the coroutines
are only a price: without faults it is slower than `memoised`.
"""

import asyncio
from collections import Counter
from time import perf_counter
from typing import Any

from stream.exercise import stages
from stream.exercise.stages import aretried


class TaskOrchestrator:
    """Its `process_text` is a coroutine."""

    async def process_text(self, text: str) -> dict[str, Any]:
        """Count the anagrams of the text's words."""
        if not isinstance(text, str):
            raise ValueError("a text is a str")  # noqa: TRY004 - the interface
        began = perf_counter()
        steps = stages.current().aio
        times = Counter(await aretried(steps.get_words, await aretried(steps.filter_input, text)))
        found = await asyncio.gather(*(aretried(steps.find_anagrams, word) for word in times))
        counts: dict[str, int] = {}
        for anagrams, n in zip(found, times.values(), strict=True):
            for anagram in anagrams:
                counts[anagram] = counts.get(anagram, 0) + n
        return {"runtime": (perf_counter() - began) * 1000, "anagram_counts": counts}
