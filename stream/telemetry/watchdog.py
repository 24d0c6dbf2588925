"""Notices a loop that hangs, and says once where every thread stands."""

import sys
import threading
import traceback

import structlog

from stream.ports import Clock
from stream.telemetry.health import Health

LOOK_S = 1.0
FRAMES_MAX = 30


def stacks() -> dict[str, list[str]]:
    """Return where each thread stands, innermost last: file, line, function; no values."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return {
        names.get(ident, str(ident)): [
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_stack(innermost)[-FRAMES_MAX:]
        ]
        for ident, innermost in sys._current_frames().items()  # noqa: SLF001 - the documented way
    }


class Watchdog:
    """Looks, in a thread of its own, whether the loop turns."""

    def __init__(self, health: Health, clock: Clock, turn_s_max: float) -> None:
        self._health = health
        self._clock = clock
        self._turn_s_max = turn_s_max
        self._told_of = 0.0  # the turn that was the last, when that was logged
        self._closed = threading.Event()
        self._log = structlog.get_logger()
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def look(self) -> None:
        """Log the stacks if the loop hangs; once, until it turns again."""
        turned = self._health.turned
        hangs_s = self._clock.monotonic() - turned
        if turned and hangs_s > self._turn_s_max and turned != self._told_of:
            self._told_of = turned
            self._log.error("loop hangs", last_turn_seconds_ago=round(hangs_s, 1), stacks=stacks())

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.wait(min(LOOK_S, self._turn_s_max / 4)):
            self.look()
