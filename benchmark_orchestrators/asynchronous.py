"""Look up all words concurrently, and retry each one separately.

What it shows: if a stage waits (0.25 s per word with `--faults original`), concurrent waits take as long as a
single one, and a failing word delays no other. If nothing waits, coroutines only add overhead: without faults
it is slower than `memoised`.
"""

import asyncio
from collections import Counter
from time import perf_counter
from typing import Any

from stream.exercise import stages
from stream.exercise.stages import aretried


class TaskOrchestrator:
    """Counts in a coroutine, with concurrent lookups."""

    async def process_text(self, text: str) -> dict[str, Any]:
        """Count the anagrams of the text's words."""
        if not isinstance(text, str):
            raise ValueError("the text must be a str")  # noqa: TRY004 - the interface
        started = perf_counter()
        steps = stages.current().aio
        tokens = Counter(await aretried(steps.get_words, await aretried(steps.filter_input, text)))
        results = await asyncio.gather(*(aretried(steps.find_anagrams, word) for word in tokens))
        counts: dict[str, int] = {}
        for anagrams, n in zip(results, tokens.values(), strict=True):
            for anagram in anagrams:
                counts[anagram] = counts.get(anagram, 0) + n
        return {"runtime": (perf_counter() - started) * 1000, "anagram_counts": counts}
