"""The stages of the pipeline on top of the pure core, with fault injection and statistics.

Every orchestrator that uses `current()` is exposed to the same faults and measured by the same statistics.
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
from stream.exercise.faults import NO_FAULT, Fault, Faults, Stage

ATTEMPTS_MAX = 12
FIRST_WAIT_S = 0.02
WAIT_S_MAX = 2.0
_PASSING = retry_if_exception_type(StageFailed)
_STOP = stop_after_attempt(ATTEMPTS_MAX)
_WAIT = wait_random_exponential(FIRST_WAIT_S, WAIT_S_MAX)
PERMUTED_LETTERS_MAX = 8  # 40,320 permutations; each additional letter multiplies their number

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class StageStats:
    """Statistics of a stage; `seconds` is the time of all its calls, including failed calls and delays."""

    attempts: int = 0
    successes: int = 0
    failures: int = 0
    seconds: float = 0.0


class Stages:
    """The stages of one dictionary, with or without faults.

    Attributes:
        index: the dictionary.
        faults: the faults to inject, or None.
        stats: statistics by stage.
        aio: the same stages for coroutines, which await delays.
    """

    def __init__(
        self,
        index: AnagramIndex | None = None,
        faults: Faults | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Use `index`, or by default the package's own dictionary."""
        self.index = default_index() if index is None else index
        self.faults = faults
        self.stats = {stage.value: StageStats() for stage in Stage}
        self.aio = AsyncStages(self)
        self._sleep = sleep
        self._lock = threading.Lock()

    @property
    def dictionary(self) -> frozenset[str]:
        """All words of the dictionary; built once for each dictionary."""
        digest = self.index.digest
        if digest not in _dictionaries:
            _dictionaries[digest] = frozenset(
                word for group in self.index.anagrams.values() for word in group
            )
        return _dictionaries[digest]

    def filter_input(self, text: str) -> str:
        """Return the text with `-` as a space, and only letters, digits and white space kept."""
        with self.measured(Stage.FILTER_INPUT):
            self._inject(Stage.FILTER_INPUT)
            return filtered(text)

    def get_words(self, filtered_text: str) -> list[str]:
        """Return the words of a filtered text, in order, in lower case."""
        with self.measured(Stage.GET_WORDS):
            self._inject(Stage.GET_WORDS)
            return words(filtered_text)

    def find_anagrams(self, word: str) -> Sequence[str]:
        """Return the dictionary words that have the word's signature."""
        with self.measured(Stage.FIND_ANAGRAMS):
            self._inject(Stage.FIND_ANAGRAMS, word)
            return self.index.anagrams.get(signature(word), ())

    def permutations(self, word: str) -> Iterable[str]:
        """Return every order of the word's letters, with duplicates if letters are equal."""
        with self.measured(Stage.PERMUTATIONS):
            self._inject(Stage.PERMUTATIONS, word)
            return permuted(word)

    def draw_fault(self, stage: Stage, key: str = "") -> Fault:
        """Return the fault of the next call of this stage."""
        return self.faults.draw(stage, key) if self.faults is not None else NO_FAULT

    @contextmanager
    def measured(self, stage: Stage) -> Iterator[None]:
        """Count a call of a stage, its outcome and its time."""
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

    def _inject(self, stage: Stage, key: str = "") -> None:
        fault = self.draw_fault(stage, key)
        if fault.delay_s:
            self._sleep(fault.delay_s)
        if fault.error is not None:
            raise fault.error


class AsyncStages:
    """The stages for coroutines."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages

    async def filter_input(self, text: str) -> str:
        """See `Stages.filter_input`."""
        with self._stages.measured(Stage.FILTER_INPUT):
            await self._inject(Stage.FILTER_INPUT)
            return filtered(text)

    async def get_words(self, filtered_text: str) -> list[str]:
        """See `Stages.get_words`."""
        with self._stages.measured(Stage.GET_WORDS):
            await self._inject(Stage.GET_WORDS)
            return words(filtered_text)

    async def find_anagrams(self, word: str) -> Sequence[str]:
        """See `Stages.find_anagrams`."""
        with self._stages.measured(Stage.FIND_ANAGRAMS):
            await self._inject(Stage.FIND_ANAGRAMS, word)
            return self._stages.index.anagrams.get(signature(word), ())

    async def permutations(self, word: str) -> Iterable[str]:
        """See `Stages.permutations`."""
        with self._stages.measured(Stage.PERMUTATIONS):
            await self._inject(Stage.PERMUTATIONS, word)
            return permuted(word)

    async def _inject(self, stage: Stage, key: str = "") -> None:
        fault = self._stages.draw_fault(stage, key)
        if fault.delay_s:
            await asyncio.sleep(fault.delay_s)
        if fault.error is not None:
            raise fault.error


def permuted(word: str) -> Iterable[str]:
    """Return every order of the letters: as a list for a short word, else lazily."""
    orders = map("".join, itertools.permutations(word))
    return list(orders) if len(word) <= PERMUTED_LETTERS_MAX else orders


def retried(step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a stage, and retry it with backoff: `retried(stages.find_anagrams, "cat")`.

    Raises:
        Fatal: it failed ATTEMPTS_MAX times.
    """
    try:
        return step(*args, **kwargs)
    except StageFailed as failed:
        firsts = [failed]  # the first attempt counts too, and the backoff follows it

    def attempt() -> T:
        if firsts:
            raise firsts.pop()
        return step(*args, **kwargs)

    try:
        return Retrying(retry=_PASSING, stop=_STOP, wait=_WAIT)(attempt)
    except RetryError as error:
        raise _given_up(error) from error


async def aretried(step: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call and retry a stage of `Stages.aio`; see `retried`.

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
    return Fatal(f"{stage} failed {error.last_attempt.attempt_number} times in a row; last error: {failed}")


@cache
def default_index() -> AnagramIndex:
    """Return the package's own dictionary, read once per process."""
    return load_index(None)


_dictionaries: dict[str, frozenset[str]] = {}  # digest -> all words
_current: list[Stages] = []


def use(stages: Stages | None) -> None:
    """Make `current` return these stages everywhere in the process; None for the default ones."""
    _current[:] = [] if stages is None else [stages]


def current() -> Stages:
    """Return the stages in use; by default those of the default dictionary, without faults."""
    if not _current:
        _current.append(Stages())
    return _current[0]
