"""How long records are gathered: briefly while there is room, for the commit interval under load."""

import time
from collections.abc import Callable

ROOM = 0.17  # of a core; the threads of the clients need about half as much beside it


class Pace:
    """Says until when the records of a batch are gathered.

    A transaction takes a few milliseconds of processor time, for one record as for a thousand. So batches
    follow each other at such a distance that the thread of the loop works for a sixth of the time, but not
    later than by the commit interval. Waiting for a broker is no work, and what other threads do does not
    count: a compaction would stop the commits for a while.
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
        """Begin a batch; return until when its records are gathered, and whether that is over already."""
        now, used_s = self._clock(), self._thread_time()
        earliest = self._due + min(self._interval_s, (used_s - self._used_s) / ROOM)
        self._due, self._used_s = max(now, earliest), used_s
        return self._due, now >= earliest
