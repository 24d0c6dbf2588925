"""What processes use, looked at while they run."""

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil

EVERY_S = 0.2
_MIB = 1024 * 1024


class Usage(threading.Thread):
    """Looks at processes and all below them, several times a second.

    Memory is the proportional set size, so that what processes share counts once; where the system has none
    (macOS), what each has alone. A process that is gone keeps what it had used when it was last looked at.

    Attributes:
        cpu_s: processor time so far.
        peak_mib: most memory at one time.
    """

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        super().__init__(daemon=True, name="usage")
        self._pids = pids
        self._used_s: dict[tuple[int, float], float] = {}
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self.peak_mib = 0.0

    @property
    def cpu_s(self) -> float:
        """All processor time that was seen."""
        with self._lock:
            return sum(self._used_s.values())

    def run(self) -> None:
        """Look until stopped."""
        while not self._stopped.wait(EVERY_S):
            self.look()

    def stop(self) -> None:
        """Look once more, then no more."""
        self._stopped.set()
        if self.is_alive():
            self.join()
        self.look()

    def look(self) -> float:
        """Look now; return `cpu_s`."""
        held = 0
        with self._lock:
            for process in self._processes():
                with suppress(psutil.Error):
                    times = process.cpu_times()
                    self._used_s[process.pid, process.create_time()] = times.user + times.system
                    memory = process.memory_full_info()
                    held += getattr(memory, "pss", memory.uss)
            self.peak_mib = max(self.peak_mib, held / _MIB)
            return sum(self._used_s.values())

    def _processes(self) -> list[psutil.Process]:
        found = []
        for pid in self._pids():
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                found += [process, *process.children(recursive=True)]
        return found
