"""Counts the anagrams of texts in this process; retries each stage, and looks up words concurrently."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypedDict

from stream.exercise import stages as stages_module
from stream.exercise.stages import Stages, aretried, retried

CONCURRENT_MAX = 1_000  # words looked up concurrently


class Result(TypedDict):
    """The result of an orchestrator: its runtime in milliseconds, and the counts."""

    runtime: float
    anagram_counts: dict[str, int]


class TaskOrchestrator:
    """Counts the anagrams of texts, and retries stages that fail."""

    def __init__(self, stages: Stages | None = None) -> None:
        """Use `stages`, or by default the stages in use in this process."""
        self._own = stages

    def process_text(self, text: str) -> Result:
        """Count the anagrams of the text's words.

        Raises:
            ValueError: `text` is not a string.
            Fatal: a stage failed too many times.
        """
        check_text(text)
        stages = self._own or stages_module.current()
        if stages.faults is not None:  # delays of several words pass concurrently
            return asyncio.run(self.process(text))
        started = time.perf_counter()
        tokens = Counter(retried(stages.get_words, retried(stages.filter_input, text)))
        return to_result(started, ((n, retried(stages.find_anagrams, word)) for word, n in tokens.items()))

    async def process(self, text: str) -> Result:
        """Count the anagrams as a coroutine.

        Raises:
            ValueError: `text` is not a string.
            Fatal: a stage failed too many times.
        """
        check_text(text)
        stages = (self._own or stages_module.current()).aio
        started = time.perf_counter()
        tokens = Counter(await aretried(stages.get_words, await aretried(stages.filter_input, text)))
        counted: list[tuple[int, Sequence[str]]] = []
        for part in _parts(tokens):
            anagrams = await asyncio.gather(*(aretried(stages.find_anagrams, word) for word in part))
            counted += zip(part.values(), anagrams, strict=True)
        return to_result(started, counted)


def check_text(text: object) -> None:
    """Check that `text` is a string.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(text, str):
        raise ValueError(f"process_text takes a str, not {type(text).__name__}")  # noqa: TRY004 - the interface


def to_result(started: float, counted: Iterable[tuple[int, Iterable[str]]]) -> Result:
    """Add up pairs of a count and the anagrams with this count; `started` is from `time.perf_counter`."""
    counts: Counter[str] = Counter()
    for n, anagrams in counted:
        for anagram in anagrams:
            counts[anagram] += n
    return {"runtime": (time.perf_counter() - started) * 1000, "anagram_counts": dict(counts)}


def _parts(tokens: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Split into parts of at most CONCURRENT_MAX words."""
    remaining = iter(tokens.items())
    while part := dict(itertools.islice(remaining, CONCURRENT_MAX)):  # ends with the last word
        yield part
