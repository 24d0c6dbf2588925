"""The workers that a load test measures, started as users would, and the resources that they use."""

from collections.abc import Sequence
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Self

from stream.config import Settings
from stream.errors import Fatal
from stream.tools.child_environment import child_environment
from stream.tools.load_test.resource_usage import ResourceUsage
from stream.tools.worker_process import COMMAND, WorkerProcess, wait_all_ready

SETTLE_S_MAX = 120.0
SETTLED_S = 6.0  # a member learns of another one by a heartbeat, every 3 or 5 s
_POLL_S = 0.1
_MOVES = "partitions assigned", "partitions revoked", "partitions lost"


class WorkerUnderTest:
    """One or several processes of `anagram-stream worker` with the same settings.

    Attributes:
        processes: each may be a supervisor with several members of the group.
        usage: resources of all processes, over all starts.
    """

    def __init__(self, settings: Settings, folder: Path, workers: int, arguments: Sequence[str]) -> None:
        env = child_environment(settings, STREAM_HTTP_PORT="0")
        self.processes = [
            WorkerProcess(env, folder / f"worker-{number}.log", command=(*COMMAND, *arguments))
            for number in range(workers)
        ]
        self.usage = ResourceUsage(lambda: [pid for each in self.processes if (pid := each.pid) is not None])

    def start(self) -> None:
        for process in self.processes:
            process.start()
        if not self.usage.is_alive():
            self.usage.start()

    def wait_ready(self) -> None:
        """Wait until all workers are ready.

        Raises:
            Fatal: a worker exited, or is not ready in time.
        """
        wait_all_ready(self.processes)

    def wait_settled(self) -> None:
        """Wait until no partition has moved between the members for a while, if there are several members.

        Raises:
            Fatal: partitions keep moving, or a worker exited.
        """
        deadline = monotonic() + SETTLE_S_MAX
        moves, since = -1, 0.0
        while self.members() > 1:
            self.check()
            if self.moves() != moves:
                moves, since = self.moves(), monotonic()
            if monotonic() - since > SETTLED_S:
                return
            if monotonic() > deadline:
                raise Fatal(f"partitions kept moving for {SETTLE_S_MAX:.0f} s:\n{self.last_lines()}")
            sleep(_POLL_S)

    def members(self) -> int:
        """Return the number of group members that have started; a supervisor has several."""
        return self._count("worker started")

    def moves(self) -> int:
        """Return how often partitions were assigned, revoked or lost so far."""
        return self._count(*_MOVES)

    def check(self) -> None:
        """Raise Fatal with the last log lines if a worker exited by itself."""
        for process in self.processes:
            process.check()

    def kill(self) -> None:
        """Kill -9 all processes at once."""
        self.usage.sample()
        for process in self.processes:
            process.kill_all()

    def stop(self) -> None:
        """Send SIGTERM and wait until all workers have drained."""
        self.usage.stop()
        for process in self.processes:
            process.stop()

    def last_lines(self) -> str:
        return "\n".join(process.last_lines() for process in self.processes)

    def _count(self, *events: str) -> int:
        return sum(len(process.events(*events)) for process in self.processes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()  # also after an error: a killed worker leaves its folder behind
