"""The stages of the pipeline, on the pure core: what faults meet, and what is counted stage by stage.

Whatever works on texts by way of `current()` is subject to the same faults and shows in the same figures.
"""

import asyncio
import itertools
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import ParamSpec, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryError,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from stream.core.dictionary import AnagramIndex
from stream.core.signature import signature
from stream.core.text import filtered, words
from stream.dictionary import load_index
from stream.errors import Fatal, StageFailed
from stream.exercise.faults import NOTHING, Faults, Met, Stage

ATTEMPTS_MAX = 12
FIRST_WAIT_S = 0.02
WAIT_S_MAX = 2.0
_PASSING = retry_if_exception_type(StageFailed)
_STOP = stop_after_attempt(ATTEMPTS_MAX)
_WAIT = wait_random_exponential(FIRST_WAIT_S, WAIT_S_MAX)
PERMUTED_LETTERS_MAX = 8  # 40,320 permutations; each further letter multiplies

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class StageStats:
    """What a stage did so far; `seconds` is the time of all its calls, failed ones and delays too."""

    attempts: int = 0
    successes: int = 0
    failures: int = 0
    seconds: float = 0.0


class Stages:
    """The stages of one dictionary, with or without faults.

    Attributes:
        index: the dictionary.
        faults: what calls meet, or None.
        stats: by stage.
        aio: the same stages for coroutines: a delay is awaited there.
    """

    def __init__(
        self,
        index: AnagramIndex | None = None,
        faults: Faults | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Without an index the package's own dictionary is used."""
        self.index = default_index() if index is None else index
        self.faults = faults
        self.stats = {stage.value: StageStats() for stage in Stage}
        self.aio = AsyncStages(self)
        self._sleep = sleep
        self._lock = threading.Lock()

    @property
    def dictionary(self) -> frozenset[str]:
        """All words of the dictionary; made once for each."""
        digest = self.index.digest
        if digest not in _known:
            _known[digest] = frozenset(word for same in self.index.anagrams.values() for word in same)
        return _known[digest]

    def filter_input(self, text: str) -> str:
        """Return the text with `-` as a space, and only letters, digits and white space left."""
        with self.watched(Stage.FILTER_INPUT):
            self._meet(Stage.FILTER_INPUT)
            return filtered(text)

    def get_words(self, filtered_text: str) -> list[str]:
        """Return the words of a filtered text, lower-cased, in order."""
        with self.watched(Stage.GET_WORDS):
            self._meet(Stage.GET_WORDS)
            return words(filtered_text)

    def find_anagrams(self, word: str) -> Sequence[str]:
        """Return the dictionary words that have the word's signature."""
        with self.watched(Stage.FIND_ANAGRAMS):
            self._meet(Stage.FIND_ANAGRAMS, word)
            return self.index.anagrams.get(signature(word), ())

    def permutations(self, word: str) -> Iterable[str]:
        """Return every order of the word's letters; equal letters give equal ones."""
        with self.watched(Stage.PERMUTATIONS):
            self._meet(Stage.PERMUTATIONS, word)
            return permuted(word)

    def met(self, stage: Stage, key: str = "") -> Met:
        """Return what a call of this stage meets now."""
        return self.faults.meet(stage, key) if self.faults is not None else NOTHING

    @contextmanager
    def watched(self, stage: Stage) -> Iterator[None]:
        """Count a call of a stage, and how it ended."""
        started, done = time.perf_counter(), False
        try:
            yield
            done = True
        finally:
            stats = self.stats[stage.value]
            with self._lock:
                stats.attempts += 1
                stats.successes += done
                stats.failures += not done
                stats.seconds += time.perf_counter() - started

    def _meet(self, stage: Stage, key: str = "") -> None:
        met = self.met(stage, key)
        if met.delay_s:
            self._sleep(met.delay_s)
        if met.error is not None:
            raise met.error


class AsyncStages:
    """The stages for coroutines."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages

    async def filter_input(self, text: str) -> str:
        """As `Stages.filter_input`."""
        with self._stages.watched(Stage.FILTER_INPUT):
            await self._meet(Stage.FILTER_INPUT)
            return filtered(text)

    async def get_words(self, filtered_text: str) -> list[str]:
        """As `Stages.get_words`."""
        with self._stages.watched(Stage.GET_WORDS):
            await self._meet(Stage.GET_WORDS)
            return words(filtered_text)

    async def find_anagrams(self, word: str) -> Sequence[str]:
        """As `Stages.find_anagrams`."""
        with self._stages.watched(Stage.FIND_ANAGRAMS):
            await self._meet(Stage.FIND_ANAGRAMS, word)
            return self._stages.index.anagrams.get(signature(word), ())

    async def permutations(self, word: str) -> Iterable[str]:
        """As `Stages.permutations`."""
        with self._stages.watched(Stage.PERMUTATIONS):
            await self._meet(Stage.PERMUTATIONS, word)
            return permuted(word)

    async def _meet(self, stage: Stage, key: str = "") -> None:
        met = self._stages.met(stage, key)
        if met.delay_s:
            await asyncio.sleep(met.delay_s)
        if met.error is not None:
            raise met.error


def permuted(word: str) -> Iterable[str]:
    """Return every order of the letters: at once for a short word, else one by one."""
    made = map("".join, itertools.permutations(word))
    return list(made) if len(word) <= PERMUTED_LETTERS_MAX else made


def retried(step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what one stage returns, tried again with backoff: `retried(stages.find_anagrams, "cat")`.

    Raises:
        Fatal: it failed ATTEMPTS_MAX times.
    """
    try:
        return step(*args, **kwargs)
    except StageFailed as failed:
        firsts = [failed]  # the first attempt is made already; it counts, and is waited for

    def attempt() -> T:
        if firsts:
            raise firsts.pop()
        return step(*args, **kwargs)

    try:
        return Retrying(retry=_PASSING, stop=_STOP, wait=_WAIT)(attempt)
    except RetryError as error:
        raise _given_up(error) from error


async def aretried(step: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """As `retried`, for the stages of `Stages.aio`.

    Raises:
        Fatal: it failed ATTEMPTS_MAX times.
    """
    try:
        return await step(*args, **kwargs)
    except StageFailed as failed:
        firsts = [failed]

    async def attempt() -> T:
        if firsts:
            raise firsts.pop()
        return await step(*args, **kwargs)

    try:
        return await AsyncRetrying(retry=_PASSING, stop=_STOP, wait=_WAIT)(attempt)
    except RetryError as error:
        raise _given_up(error) from error


def _given_up(error: RetryError) -> Fatal:
    failed = error.last_attempt.exception()
    stage = failed.stage if isinstance(failed, StageFailed) else "a stage"
    return Fatal(
        f"{stage} failed {error.last_attempt.attempt_number} times in a row; the last time: {failed}"
    )


@cache
def default_index() -> AnagramIndex:
    """Return the package's own dictionary, read once in a process."""
    return load_index(None)


_known: dict[str, frozenset[str]] = {}  # digest -> all words
_used: list[Stages] = []


def use(stages: Stages | None) -> None:
    """Let `current` return these stages everywhere in the process; None: the default ones again."""
    _used[:] = [] if stages is None else [stages]


def current() -> Stages:
    """Return the stages in use; without `use` those of the default dictionary, without faults."""
    if not _used:
        _used.append(Stages())
    return _used[0]
