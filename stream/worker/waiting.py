"""The waits of the worker: while Kafka or a store is unavailable, and after failed or fenced transactions."""

from collections.abc import Callable
from math import inf

from stream.errors import Fatal, Fenced, Retriable
from stream.events import Observer
from stream.ports import Clock

UNAVAILABLE_WAIT_S = 0.5  # between two attempts
REPORT_INTERVAL_S = 10.0  # minimum interval between log lines that say why the worker waits
FAILURES_IN_A_ROW_MAX = 25  # about 90 s with backoff; after that the worker gives up
FAILURE_WAIT_S = 0.01  # doubled with each failure
FAILURE_WAIT_S_MAX = 5.0
FENCES_APART_S = 600.0  # a rival fences again with its next transaction, so much sooner when records flow
REFUSALS_APART_S = 30.0  # a rival causes a new refusal at the first heartbeat after this worker joined
REFUSED_S_MAX = 60.0  # longer than a coordinator that loses its replicas for a moment refuses members


class Waiting:
    """Waits while Kafka or a store is unavailable. Reports the reason once, and the end of the wait once."""

    def __init__(self, clock: Clock, observer: Observer) -> None:
        self._clock = clock
        self._observer = observer
        self._reason = ""
        self._reported_at = 0.0

    def attempt(self, step: Callable[[], None]) -> None:
        """Run a step; wait if it raises Retriable."""
        try:
            step()
        except Retriable as reason:
            self.wait(reason)
        else:
            self.end()

    def wait(self, reason: Retriable) -> None:
        """Report the reason, unless one was reported recently, and wait."""
        now, text = self._clock.monotonic(), str(reason) or repr(reason)
        if not self._reason or (text != self._reason and now - self._reported_at >= REPORT_INTERVAL_S):
            self._reason, self._reported_at = text, now
            self._observer.waiting(reason)
        self._clock.sleep(UNAVAILABLE_WAIT_S)

    def end(self) -> None:
        """Report the end of the wait, if its reason was reported."""
        if self._reason:
            self._reason = ""
            self._observer.resumed()


class Backoff:
    """Waits after each failed transaction, longer each time, and stops the worker after too many."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0

    def wait(self, reason: Exception) -> None:
        """Wait after a failure.

        Raises:
            Fatal: too many failed in a row.
        """
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW_MAX:
            why = f"{self._failures} transactions in a row failed; the last error: {reason}"
            raise Fatal(why) from reason
        self._clock.sleep(min(FAILURE_WAIT_S_MAX, FAILURE_WAIT_S * 2 ** (self._failures - 1)))

    def reset(self) -> None:
        """Start over, after a commit."""
        self._failures = 0


class Fences:
    """Decides what it means if a young transaction is fenced: only a rival fences again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._fenced_at = -inf

    def check(self, error: Fenced) -> None:
        """Return if a new producer may take the transactional id back.

        Raises:
            Fenced: it was already fenced recently.
        """
        now = self._clock.monotonic()
        passed_s, self._fenced_at = now - self._fenced_at, now
        if passed_s < FENCES_APART_S:
            raise Fenced(
                f"fenced again {passed_s:.0f} s after this worker took its id back, so another worker uses "
                f"the same id: {error}"
            ) from error


class Refusals:
    """Decides what it means if the group refuses this member; its consumer has already rejoined.

    A coordinator that cannot write the group's state, because replicas are missing, also refuses static
    members, several times. A rival causes refusals for as long as it runs.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_at = self._refused_at = -inf

    def check(self, error: Fenced) -> None:
        """Return if the member may take its place in the group back.

        Raises:
            Fenced: it was refused several times over a longer time.
        """
        now = self._clock.monotonic()
        if now - self._refused_at > REFUSALS_APART_S:
            self._began_at = now
        self._refused_at = now
        refused_s = now - self._began_at
        if refused_s > REFUSED_S_MAX:
            raise Fenced(
                f"refused by the group for {refused_s:.0f} s, so another worker uses the same id: {error}"
            ) from error
