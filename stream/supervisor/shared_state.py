"""State that a supervisor publishes about its workers, in memory shared with forked processes."""

from collections.abc import Collection, Mapping
from ctypes import c_int, c_uint64
from mmap import mmap
from pathlib import Path

_BYTES = 8  # of a number


class SharedState:
    """The worker processes, named 0, 1 and so on: how often each was restarted, and which ended for good."""

    def __init__(self, folder: Path, processes_max: int) -> None:
        """`folder` contains the private sockets of the workers."""
        self.processes_max = processes_max
        self._folder = folder
        # Anonymous memory: that of `multiprocessing` needs a file.
        memory = mmap(-1, (1 + 2 * processes_max) * _BYTES)
        self._process_count = c_int.from_buffer(memory)
        self._restarts = (c_uint64 * processes_max).from_buffer(memory, _BYTES)
        self._ended = (c_uint64 * processes_max).from_buffer(memory, (1 + processes_max) * _BYTES)

    def set_process_count(self, count: int) -> None:
        """Publish how many worker processes there are; until then there are 0."""
        self._process_count.value = count

    def count_restart(self, number: int) -> None:
        self._restarts[number] += 1

    def set_ended(self, number: int) -> None:
        """Publish that a process ended and is not restarted."""
        self._ended[number] = 1

    def ended(self) -> Collection[str]:
        return [str(number) for number in range(self._process_count.value) if self._ended[number]]

    def is_first(self, number: int) -> bool:
        """Return whether this process is the first of those that did not end for good."""
        return all(self._ended[:number])

    def socket_path(self, number: int) -> Path:
        """Return the socket on which a worker process serves its metrics and probes."""
        return self._folder / str(number)

    def socket_paths(self) -> Mapping[str, Path]:
        return {str(number): self.socket_path(number) for number in range(self._process_count.value)}

    def restarts(self) -> Mapping[str, int]:
        return {str(number): self._restarts[number] for number in range(self._process_count.value)}
