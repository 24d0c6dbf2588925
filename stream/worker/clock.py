"""Real time; a wait ends early when the worker is asked to stop."""

import threading
import time


class SystemClock:
    """A `Clock`. `stop` cuts every wait short, now and later."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def monotonic(self) -> float:
        """Seconds; only differences mean something."""
        return time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Return after `seconds`, or early when stopped."""
        self._stopped.wait(seconds)

    def stop(self) -> None:
        """Ask everybody to come to an end."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped.is_set()
