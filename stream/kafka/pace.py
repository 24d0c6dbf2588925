"""Decides how long to collect a batch: briefly while there is room, for the commit interval under load."""

import time
from collections.abc import Callable

ROOM = 0.17  # share of a core for the loop; the threads of the clients use about half as much in addition


class Pace:
    """Decides until when the records of a batch are collected.

    A transaction takes a few milliseconds of CPU time, whether it has one record or a thousand. So batches
    are spaced such that the thread of the loop is busy for a sixth of the time, but at most one commit
    interval apart. Waiting for a broker does not count, nor does the work of other threads: otherwise a
    compaction would delay the commits.
    """

    def __init__(
        self,
        interval_s: float,
        clock: Callable[[], float] = time.monotonic,
        thread_time: Callable[[], float] = time.thread_time,
    ) -> None:
        """`interval_s` is the commit interval."""
        self._interval_s = interval_s
        self._clock = clock
        self._thread_time = thread_time
        self._due = 0.0
        self._used_s = 0.0

    def next_due(self) -> tuple[float, bool]:
        """Begin a batch; return until when to collect its records, and whether that time has passed."""
        now, used_s = self._clock(), self._thread_time()
        earliest = self._due + min(self._interval_s, (used_s - self._used_s) / ROOM)
        self._due, self._used_s = max(now, earliest), used_s
        return self._due, now >= earliest
