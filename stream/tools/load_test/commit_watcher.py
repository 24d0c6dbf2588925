"""Observes from outside when workers commit results, by the last stable offsets, at a very low cost."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic, sleep

from stream.errors import Fatal
from stream.tools.load_test.environment import LoadTestEnvironment
from stream.tools.load_test.worker_under_test import WorkerUnderTest

POLL_S = 0.025
GROUP_POLL_SOON_S, GROUP_POLL_S = 0.1, 2.0  # between two reads of the group's committed offsets
REBALANCE_POLL_S = 0.25  # between two checks for moved partitions
STALL_S_MAX = 120.0


@dataclass(slots=True)
class CommitTimes:
    """When results were committed, on the monotonic clock.

    Attributes:
        first_at: time of the first commit.
        last_at: time of the last commit.
        steady_at: time of the first commit after the last rebalance.
        steady_ends: partition -> last stable offset at `steady_at`.
        steady_cpu_s: processor time until `steady_at`.
    """

    first_at: float
    last_at: float
    steady_at: float
    steady_ends: Mapping[int, int]
    steady_cpu_s: float


class CommitWatcher:
    """Observes workers until their group has committed all input."""

    def __init__(self, environment: LoadTestEnvironment, worker: WorkerUnderTest, blobs: int) -> None:
        self._environment = environment
        self._worker = worker
        self._blobs = blobs
        self._input_ends = environment.log_ends(environment.settings.input_topic)
        self._times: CommitTimes | None = None
        self._is_steady = False
        self._moves = self._results = 0
        self._last_commit_at = self._group_read_at = self._moves_checked_at = monotonic()

    def run(self, on_progress: Callable[[int], None]) -> CommitTimes:
        """Wait until all input is committed; call `on_progress` with the number of results.

        Raises:
            Fatal: a worker exited, or nothing was committed for `STALL_S_MAX`.
        """
        while not self._is_done():  # ends: all input is committed, or nothing was for `STALL_S_MAX`
            ends = self._environment.result_ends()
            now = monotonic()
            self._check_moves(now)
            if sum(ends.values()) > self._results:
                self._note_commit(ends, now)
                on_progress(min(self._results, self._blobs))
            if now - self._last_commit_at > STALL_S_MAX:
                why = f"nothing was committed for {STALL_S_MAX:.0f} s, after {self._results:,} results"
                raise self._stalled(why)
            sleep(POLL_S)
        if self._times is None:
            raise self._stalled("no blob has a result")
        return self._times

    def _note_commit(self, ends: Mapping[int, int], now: float) -> None:
        self._results, self._last_commit_at = sum(ends.values()), now
        times = self._times = self._times or CommitTimes(now, now, now, ends, 0.0)
        times.last_at = now
        if not self._is_steady:
            times.steady_at, times.steady_ends = now, ends
            times.steady_cpu_s = self._worker.usage.sample()
            self._is_steady = True

    def _check_moves(self, now: float) -> None:
        """Restart the steady part if partitions moved: a group needs seconds to balance its members."""
        if now - self._moves_checked_at < REBALANCE_POLL_S:
            return
        self._moves_checked_at = now
        moves = self._worker.moves()
        if moves != self._moves:
            self._moves, self._is_steady = moves, False

    def _is_done(self) -> bool:
        now = monotonic()
        if now - self._group_read_at < (GROUP_POLL_SOON_S if self._results >= self._blobs else GROUP_POLL_S):
            return False
        self._group_read_at = now
        self._worker.check()
        if not self._environment.has_committed(self._input_ends):
            return False
        return sum(self._environment.result_ends().values()) == self._results

    def _stalled(self, why: str) -> Fatal:
        return Fatal(f"{why}; the worker's last lines:\n{self._worker.last_lines()}")
