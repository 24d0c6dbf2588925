"""A step that failed in passing: bounded exponential backoff with jitter, outside any transaction."""

import random
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type
from tenacity.stop import stop_base

from stream.errors import Reason, Rejected, StageFailed
from stream.ports import Clock, Observer

FIRST_WAIT_S = 0.02
WAIT_S_MAX = 2.0

T = TypeVar("T")
At = tuple[int, ...]
"""Whose attempts are counted: (partition, offset), and the number of the step where a record has several."""


class DeadlineMet(Exception):
    """The next wait would pass the batch's deadline: the batch ends before this record."""


class Retrier:
    """Tries steps again; remembers, over batches, how often those of a rewound record were tried."""

    def __init__(
        self,
        clock: Clock,
        observer: Observer,
        attempts_max: int,
        rng: random.Random,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._stopping = stopping
        self._clock = clock
        self._observer = observer
        self._attempts_max = attempts_max
        self._rng = rng
        self._before: dict[At, int] = {}  # attempts in earlier batches

    def call(self, at: At, step: Callable[[], T], deadline: float) -> T:
        """Return what `step` returns, tried until the attempts or the time are spent.

        Raises:
            Rejected: the attempts are spent.
            DeadlineMet: the time is; the attempts are remembered for the next batch.
        """
        spent = self._before.pop(at, 0) if self._before else 0
        try:
            return step()
        except StageFailed as failed:
            return self._again(at, step, deadline, spent, failed)

    def _again(self, at: At, step: Callable[[], T], deadline: float, spent: int, first: StageFailed) -> T:
        firsts = [first]  # the first attempt is made already; it counts, and is waited for

        def attempt() -> T:
            if firsts:
                raise firsts.pop()
            return step()

        attempts = Retrying(
            retry=retry_if_exception_type(StageFailed),
            stop=_OutOfAttempts(self._attempts_max - spent)
            | _OutOfTime(self._clock, deadline, self._stopping),
            wait=lambda state: self._wait_s(spent + state.attempt_number),
            sleep=self._clock.sleep,
            before_sleep=lambda state: self._tell(spent, state),
            reraise=True,
        )
        try:
            return attempts(attempt)
        except StageFailed as failed:
            tried = spent + int(attempts.statistics["attempt_number"])
            self._observer.retried(failed.stage, tried, failed)
            if tried < self._attempts_max:
                self._before[at] = tried
                raise DeadlineMet from failed
            raise Rejected(Reason.RETRIES_EXHAUSTED, failed.stage, str(failed), tried) from failed

    def forget(self, partition: int) -> None:
        """Drop what is remembered of a partition that is no longer ours."""
        self._before = {at: tried for at, tried in self._before.items() if at[0] != partition}

    def _wait_s(self, attempt: int) -> float:
        ceiling = min(WAIT_S_MAX, FIRST_WAIT_S * 2.0 ** (attempt - 1))
        return ceiling * (0.5 + 0.5 * self._rng.random())

    def _tell(self, spent: int, state: RetryCallState) -> None:
        failed = state.outcome.exception() if state.outcome else None
        if isinstance(failed, StageFailed):
            self._observer.retried(failed.stage, spent + state.attempt_number, failed)


class _OutOfAttempts(stop_base):
    def __init__(self, attempts: int) -> None:
        self._attempts = attempts

    def __call__(self, retry_state: RetryCallState) -> bool:
        return retry_state.attempt_number >= self._attempts


class _OutOfTime(stop_base):
    def __init__(self, clock: Clock, deadline: float, stopping: Callable[[], bool]) -> None:
        self._clock = clock
        self._stopping = stopping
        self._deadline = deadline

    def __call__(self, retry_state: RetryCallState) -> bool:
        return self._stopping() or self._clock.monotonic() + retry_state.upcoming_sleep >= self._deadline
