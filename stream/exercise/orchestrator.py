"""Text -> anagram counts in this process: stages are tried again one by one, words looked up together."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypedDict

from stream.exercise import stages as in_use
from stream.exercise.stages import Stages, aretried, retried

CONCURRENT_MAX = 1_000  # words that are looked up at the same time


class Result(TypedDict):
    """What an orchestrator returns: how long it took, in milliseconds, and what it counted."""

    runtime: float
    anagram_counts: dict[str, int]


class TaskOrchestrator:
    """Counts the anagrams of texts, whatever fails in passing."""

    def __init__(self, stages: Stages | None = None) -> None:
        """Without stages of its own it works on those that are in use."""
        self._own = stages

    def process_text(self, text: str) -> Result:
        """Count the anagrams of the text's words.

        Raises:
            ValueError: that is not a text.
            Fatal: a stage failed too often.
        """
        check_text(text)
        stages = self._own or in_use.current()
        if stages.faults is not None:  # then there is something to wait for, and waits go together
            return asyncio.run(self.process(text))
        started = time.perf_counter()
        tokens = Counter(retried(stages.get_words, retried(stages.filter_input, text)))
        return finished(started, ((n, retried(stages.find_anagrams, word)) for word, n in tokens.items()))

    async def process(self, text: str) -> Result:
        """Do the same as a coroutine.

        Raises:
            ValueError: that is not a text.
            Fatal: a stage failed too often.
        """
        check_text(text)
        stages = (self._own or in_use.current()).aio
        started = time.perf_counter()
        tokens = Counter(await aretried(stages.get_words, await aretried(stages.filter_input, text)))
        found: list[tuple[int, Sequence[str]]] = []
        for some in _parts(tokens):
            looked_up = await asyncio.gather(*(aretried(stages.find_anagrams, word) for word in some))
            found += zip(some.values(), looked_up, strict=True)
        return finished(started, found)


def check_text(text: object) -> None:
    """Make sure that a text was given.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(text, str):
        raise ValueError(f"process_text takes a str, not {type(text).__name__}")  # noqa: TRY004 - the interface


def finished(started: float, found: Iterable[tuple[int, Iterable[str]]]) -> Result:
    """Add up anagrams and how often each was found; `started` is of `time.perf_counter`."""
    counts: Counter[str] = Counter()
    for n, anagrams in found:
        for anagram in anagrams:
            counts[anagram] += n
    return {"runtime": (time.perf_counter() - started) * 1000, "anagram_counts": dict(counts)}


def _parts(tokens: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Cut into parts of at most CONCURRENT_MAX words."""
    left = iter(tokens.items())
    while some := dict(itertools.islice(left, CONCURRENT_MAX)):  # ends: the words do
        yield some
