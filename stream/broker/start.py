"""Waits until brokers have started."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic, sleep

from stream.broker import tcp
from stream.broker.failure import not_started, tail
from stream.broker.process import GuardedProcess
from stream.broker.storage import Storage
from stream.errors import Fatal

_POLL_INTERVAL_S = 0.05
_STARTED = "Kafka Server started"  # logged once the broker is registered and accepts requests
_LOG_LINES_MAX = 10_000  # read from the log of a failed start


@dataclass(frozen=True, slots=True)
class Start:
    """A start that is in progress.

    Attributes:
        logged_bytes: size of the log in bytes before the start.
    """

    process: GuardedProcess
    storage: Storage
    port: int
    logged_bytes: int

    def is_complete(self) -> bool:
        """Return whether the broker has logged its start and accepts connections.

        Raises:
            StreamError: the broker exited.
        """
        if _STARTED in tail(self.storage.log, _LOG_LINES_MAX, self.logged_bytes) and tcp.answers(self.port):
            return True
        if (status := self.process.poll()) is not None:
            raise self.failure(f"the broker exited with status {status} instead of starting")
        return False

    def failure(self, what: str) -> Fatal:
        """Return the error to raise, with the cause that the log names."""
        console = tail(self.storage.console, _LOG_LINES_MAX)
        return not_started(what, f"{console}\n{tail(self.storage.log, _LOG_LINES_MAX, self.logged_bytes)}")


def await_start(starts: Sequence[Start], timeout_s: float) -> None:
    """Wait until all these brokers have started.

    Raises:
        StreamError: one of them exited, or the time limit is exceeded.
    """
    deadline = monotonic() + timeout_s
    while starts := [start for start in starts if not start.is_complete()]:
        if monotonic() >= deadline:
            raise starts[0].failure(f"the broker did not start within {timeout_s:.0f} s")
        sleep(_POLL_INTERVAL_S)
