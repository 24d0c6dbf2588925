"""What a supervisor tells of its worker processes, in memory that a forked process sees as it changes."""

from collections.abc import Mapping
from multiprocessing.sharedctypes import RawArray, RawValue
from pathlib import Path


class SharedState:
    """How many worker processes there are, named 0, 1 and so on, and how often each was started again."""

    def __init__(self, folder: Path, processes_max: int) -> None:
        """`folder`: of their private sockets."""
        self.processes_max = processes_max
        self._folder = folder
        self._processes = RawValue("i", 0)
        self._restarts = RawArray("Q", processes_max)

    def begin(self, processes: int) -> None:
        """It is known now how many there are."""
        self._processes.value = processes

    def restarted(self, number: int) -> None:
        """One is started again."""
        self._restarts[number] += 1

    def socket(self, number: int) -> Path:
        """Return where one answers."""
        return self._folder / str(number)

    def sockets(self) -> Mapping[str, Path]:
        """Return where each answers."""
        return {str(number): self.socket(number) for number in range(self._processes.value)}

    def restarts(self) -> Mapping[str, int]:
        """Return how often each was started again."""
        return {str(number): self._restarts[number] for number in range(self._processes.value)}
