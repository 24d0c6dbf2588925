"""Detects a loop that hangs, logs once where every thread is, and ends the process.

A call to librdkafka may ignore its timeout and never return (librdkafka#5456, #5511). Its thread then handles
no signal, while the heartbeats of other threads keep its partitions assigned. Processing continues only after
the process exits.
"""

import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import structlog

from stream.ports import Clock
from stream.telemetry.health import RUN_ONCE_S_MAX, Health

CHECK_INTERVAL_S = 1.0
FRAMES_MAX = 30
SUSPENDED_S = 5.0  # between two checks: the whole process was suspended, not only the loop


def stacks() -> dict[str, list[str]]:
    """Return the stack of each thread, innermost frame last: file, line and function, but no values."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return {
        names.get(ident, str(ident)): [
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_stack(innermost)[-FRAMES_MAX:]
        ]
        for ident, innermost in sys._current_frames().items()  # noqa: SLF001 - the documented way
    }


@dataclass(frozen=True, slots=True)
class HangLimits:
    """When a worker counts as hanging, and what happens then.

    Attributes:
        run_once_s: the longest normal pass of the loop.
        call_s: the longest normal call of the transactional producer; all its calls have shorter timeouts.
        call_began_s: returns when the call that runs now began, monotonic; None if none runs.
        end: ends the process; a thread within a call to the client library reacts to nothing else.
    """

    run_once_s: float
    call_s: float = inf
    call_began_s: Callable[[], float | None] = lambda: None
    end: Callable[[], None] = lambda: None


DEFAULT_LIMITS = HangLimits(RUN_ONCE_S_MAX)


class Watchdog:
    """Checks, in its own thread, whether the loop advances; ends the process if it does not."""

    def __init__(self, health: Health, clock: Clock, limits: HangLimits) -> None:
        self._health = health
        self._clock = clock
        self._limits = limits
        self._checked_at = self._counts_from = clock.monotonic()
        self._logged_run_at = 0.0  # `last_run_at` when a hang was last logged
        self._closed = threading.Event()
        self._log = structlog.get_logger()
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def check(self) -> None:
        """If the loop hangs, log the stacks, once per hang, and end the process."""
        now = self._clock.monotonic()
        # If this thread was suspended, too, the time limit of the loop starts again.
        if now - self._checked_at > SUSPENDED_S:
            self._counts_from = now
        self._checked_at = now
        last_run_at, call_began_at = self._health.last_run_at, self._limits.call_began_s()
        if last_run_at == self._logged_run_at:
            return
        pass_s = self._since(last_run_at, now)
        call_s = 0.0 if call_began_at is None else self._since(call_began_at, now)
        if pass_s > self._limits.run_once_s or call_s > self._limits.call_s:
            self._logged_run_at = last_run_at
            what = (
                "a call to the client library does not return" if call_s > self._limits.call_s else "the loop"
            )
            self._log.error("loop hangs", what=what, last_turn_seconds_ago=round(pass_s, 1), stacks=stacks())
            self._limits.end()

    def close(self) -> None:
        """Stop checking."""
        self._closed.set()

    def _since(self, began_at: float, now: float) -> float:
        return now - max(began_at, self._counts_from) if began_at else 0.0

    def _run(self) -> None:
        while not self._closed.wait(min(CHECK_INTERVAL_S, self._limits.run_once_s / 4)):
            self.check()
