"""When each blob of an open loop is due: at even distances, whatever becomes of those before it.

A latency is counted from there. So a stall costs all that was due during it, not the one blob that met it
(the error that is called coordinated omission).
"""

from dataclasses import dataclass

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Schedule:
    """Blobs at a rate.

    Attributes:
        begin_ns: when the first is due, by the monotonic clock, which the processes of a machine share.
        rate: blobs a second.
        blobs: how many.
    """

    begin_ns: int
    rate: float
    blobs: int

    def due_ns(self, number: int) -> int:
        """Return when a blob is due; numbers begin at 0."""
        return self.begin_ns + int(number * NS / self.rate)

    def due_by(self, now_ns: int) -> int:
        """Return how many blobs are due."""
        if now_ns < self.begin_ns:
            return 0
        due = min(self.blobs, int((now_ns - self.begin_ns) * self.rate / NS) + 1)
        return due - 1 if self.due_ns(due - 1) > now_ns else due
