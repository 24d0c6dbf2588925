"""When a process that died is started again: soon at first, later each time, and at last no more."""

from collections.abc import Callable

WAIT_S = 0.1
WAIT_S_MAX = 10.0
RUNS_WELL_S = 60.0  # who has run that long begins anew
DEATHS_IN_A_ROW_MAX = 10  # with their waits half a minute: what dies that often does not heal


class Restarts:
    """Of one process. `jitter` returns a number from 0 to 1: many that died together do not come together."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self.in_a_row = 0
        self._jitter = jitter

    def wait_s(self, ran_s: float) -> float | None:
        """Take note of a death; return the seconds to wait, or None where it is not worth another start."""
        self.in_a_row = 1 if ran_s >= RUNS_WELL_S else self.in_a_row + 1
        if self.in_a_row >= DEATHS_IN_A_ROW_MAX:
            return None
        longest = min(WAIT_S_MAX, WAIT_S * 2.0 ** (self.in_a_row - 1))
        return longest * (1 + self._jitter()) / 2
