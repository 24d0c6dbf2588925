"""Samples the processor time and memory of running processes."""

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil

INTERVAL_S = 0.2
_MIB = 1024 * 1024


class ResourceUsage(threading.Thread):
    """Samples processes and all processes below them, several times per second.

    Memory is the proportional set size, in which shared memory counts once; on a system without it (macOS) it
    is the memory that belongs to each process alone. An exited process keeps the processor time of its last
    sample.

    Attributes:
        peak_mib: maximum memory of all processes together.
    """

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        super().__init__(daemon=True, name="usage")
        self._pids = pids
        self._used_s: dict[tuple[int, float], float] = {}
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self.peak_mib = 0.0

    def run(self) -> None:
        while not self._stopped.wait(INTERVAL_S):
            self.sample()

    def stop(self) -> None:
        """Take the last sample."""
        self._stopped.set()
        if self.is_alive():
            self.join()
        self.sample()

    def sample(self) -> float:
        """Take a sample; return the processor time of all processes so far, in seconds."""
        memory_bytes = 0
        with self._lock:
            for process in self._processes():
                with suppress(psutil.Error):
                    times = process.cpu_times()
                    self._used_s[process.pid, process.create_time()] = times.user + times.system
                    memory = process.memory_full_info()
                    memory_bytes += getattr(memory, "pss", memory.uss)
            self.peak_mib = max(self.peak_mib, memory_bytes / _MIB)
            return sum(self._used_s.values())

    def _processes(self) -> list[psutil.Process]:
        processes = []
        for pid in self._pids():
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                processes += [process, *process.children(recursive=True)]
        return processes
