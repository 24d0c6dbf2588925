"""Commits, watched from outside: by last stable offsets, which costs next to nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic, sleep

from stream.errors import Fatal
from stream.tools.load_test.environment import LoadTestEnvironment
from stream.tools.load_test.worker_under_test import WorkerUnderTest

LOOK_S = 0.025
ASK_SOON_S, ASK_S = 0.1, 2.0  # between two questions for the group's offsets
MOVES_S = 0.25  # between two looks at who has which partition
STALL_S_MAX = 120.0


@dataclass(slots=True)
class Marks:
    """When results were committed, by the monotonic clock.

    Attributes:
        first_at: the first; last_at: the last.
        steady_at: the first since partitions no longer moved between workers.
        steady_ends: partition -> the last stable offset then; steady_cpu_s: processor time until then.
    """

    first_at: float
    last_at: float
    steady_at: float
    steady_ends: Mapping[int, int]
    steady_cpu_s: float


class Instruments:
    """Watches workers until the group has committed all input."""

    def __init__(self, cell: LoadTestEnvironment, subject: WorkerUnderTest, blobs: int) -> None:
        self._cell = cell
        self._subject = subject
        self._blobs = blobs
        self._input = cell.log_ends(cell.settings.input_topic)
        self._marks: Marks | None = None
        self._is_steady = False
        self._moves = self._seen = 0
        self._grown_at = self._asked_at = self._looked_at = monotonic()

    def run(self, tell: Callable[[int], None]) -> Marks:
        """Instruments; `tell` hears how many results there are.

        Raises:
            Fatal: a worker ended, or nothing came for too long.
        """
        while not self._is_over():  # ends: all is committed, or nothing was for `STALL_S_MAX`
            ends = self._cell.result_ends()
            now = monotonic()
            self._look_at_moves(now)
            if sum(ends.values()) > self._seen:
                self._grow(ends, now)
                tell(min(self._seen, self._blobs))
            if now - self._grown_at > STALL_S_MAX:
                why = f"nothing was committed for {STALL_S_MAX:.0f} s, after {self._seen:,} results"
                raise self._stuck(why)
            sleep(LOOK_S)
        if self._marks is None:
            raise self._stuck("no blob has a result")
        return self._marks

    def _grow(self, ends: Mapping[int, int], now: float) -> None:
        self._seen, self._grown_at = sum(ends.values()), now
        marks = self._marks = self._marks or Marks(now, now, now, ends, 0.0)
        marks.last_at = now
        if not self._is_steady:
            marks.steady_at, marks.steady_ends = now, ends
            marks.steady_cpu_s = self._subject.usage.look()
            self._is_steady = True

    def _look_at_moves(self, now: float) -> None:
        """A group of several needs some seconds until each has its share: the steady part begins anew."""
        if now - self._looked_at < MOVES_S:
            return
        self._looked_at = now
        moves = self._subject.moves()
        if moves != self._moves:
            self._moves, self._is_steady = moves, False

    def _is_over(self) -> bool:
        now = monotonic()
        if now - self._asked_at < (ASK_SOON_S if self._seen >= self._blobs else ASK_S):
            return False
        self._asked_at = now
        self._subject.check()
        return self._cell.has_committed(self._input) and sum(self._cell.result_ends().values()) == self._seen

    def _stuck(self, why: str) -> Fatal:
        return Fatal(f"{why}; the worker's last lines:\n{self._subject.last_lines()}")
