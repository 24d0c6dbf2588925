"""Detects a loop that hangs, and logs once where every thread is."""

import sys
import threading
import traceback

import structlog

from stream.ports import Clock
from stream.telemetry.health import Health

CHECK_INTERVAL_S = 1.0
FRAMES_MAX = 30


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


class Watchdog:
    """Checks, in a thread of its own, whether the loop advances."""

    def __init__(self, health: Health, clock: Clock, run_once_s_max: float) -> None:
        self._health = health
        self._clock = clock
        self._run_once_s_max = run_once_s_max
        self._logged_run_at = 0.0  # `last_run_at` when a hang was last logged
        self._closed = threading.Event()
        self._log = structlog.get_logger()
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def check(self) -> None:
        """Log the stacks if the loop hangs; once per hang."""
        last_run_at = self._health.last_run_at
        hangs_s = self._clock.monotonic() - last_run_at
        if last_run_at and hangs_s > self._run_once_s_max and last_run_at != self._logged_run_at:
            self._logged_run_at = last_run_at
            self._log.error("loop hangs", last_turn_seconds_ago=round(hangs_s, 1), stacks=stacks())

    def close(self) -> None:
        """Stop checking."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.wait(min(CHECK_INTERVAL_S, self._run_once_s_max / 4)):
            self.check()
