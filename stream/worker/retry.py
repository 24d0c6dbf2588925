"""Retries of a stage that failed transiently: bounded, with exponential backoff, outside any transaction."""

import random
from collections.abc import Callable
from typing import TypeVar

from stream.errors import Reason, Rejected, StageFailed
from stream.events import Observer
from stream.ports import Clock

FIRST_WAIT_S = 0.02
WAIT_S_MAX = 2.0

T = TypeVar("T")
Key = tuple[int, ...]
"""Identifies a stage of a record: (partition, offset), and the number of the stage if there are several."""


class DeadlineMet(Exception):
    """The next wait would pass the deadline of the batch: the batch ends before this record."""


class Retrier:
    """Retries stages; remembers the attempts of a record that is left for a later batch."""

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
        self._attempts: dict[Key, int] = {}  # attempts in earlier batches

    def call(self, key: Key, stage: Callable[[], T], deadline: float) -> T:
        """Return what `stage` returns; retry it until the attempts or the time are exhausted.

        Raises:
            Rejected: the attempts are exhausted.
            DeadlineMet: the time is exhausted, or the worker stops; the next batch continues the count.
        """
        attempts = self._attempts.pop(key, 0) if self._attempts else 0
        while True:
            attempts += 1
            try:
                return stage()
            except StageFailed as failed:
                self._observer.retried(failed.stage, attempts, failed)
                if attempts >= self._attempts_max:
                    raise Rejected(Reason.RETRIES_EXHAUSTED, failed.stage, str(failed), attempts) from failed
                wait_s = self._wait_s(attempts)
                if self._stopping() or self._clock.monotonic() + wait_s >= deadline:
                    self._attempts[key] = attempts
                    raise DeadlineMet from failed
            self._clock.sleep(wait_s)

    def forget(self, partition: int) -> None:
        """Discard the attempts of a partition that this worker no longer owns."""
        self._attempts = {key: number for key, number in self._attempts.items() if key[0] != partition}

    def _wait_s(self, attempts: int) -> float:
        ceiling = min(WAIT_S_MAX, FIRST_WAIT_S * 2.0 ** (attempts - 1))
        return ceiling * (0.5 + 0.5 * self._rng.random())
