"""Delays the restart of a process that died; the delay grows with each death in a row, up to a limit."""

from collections.abc import Callable

WAIT_S = 0.1
WAIT_S_MAX = 10.0
STABLE_RUN_S = 60.0  # a process that ran this long starts over with the shortest wait
DEATHS_IN_A_ROW_MAX = 10  # after about 30 s with the waits; then the supervisor gives up


class RestartBackoff:
    """The backoff of one process.

    `jitter` returns a number from 0 to 1, so that processes that died together do not restart together.
    """

    def __init__(self, jitter: Callable[[], float]) -> None:
        self.deaths_in_a_row = 0
        self._jitter = jitter

    def wait_s(self, ran_s: float) -> float | None:
        """Count a death after `ran_s` seconds; return the seconds to wait, or None to give up."""
        self.deaths_in_a_row = 1 if ran_s >= STABLE_RUN_S else self.deaths_in_a_row + 1
        if self.deaths_in_a_row >= DEATHS_IN_A_ROW_MAX:
            return None
        longest_s = min(WAIT_S_MAX, WAIT_S * 2.0 ** (self.deaths_in_a_row - 1))
        return longest_s * (1 + self._jitter()) / 2
