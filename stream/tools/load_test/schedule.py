"""The due times of the blobs of an open loop: at equal intervals, whatever happens to earlier blobs.

Latency is measured from the due time. So a stall delays all blobs that were due during it, not only
one; measuring only one is the error known as coordinated omission.
"""

from dataclasses import dataclass

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Schedule:
    """Blobs at a constant rate.

    Attributes:
        begin_ns: due time of the first blob, on the monotonic clock, which all processes of a machine share.
        rate: blobs/s.
        blobs: number of blobs.
    """

    begin_ns: int
    rate: float
    blobs: int

    def due_ns(self, number: int) -> int:
        """Return the due time of a blob; numbers start at 0."""
        return self.begin_ns + int(number * NS / self.rate)

    def due_by(self, now_ns: int) -> int:
        """Return the number of blobs that are due at a time."""
        if now_ns < self.begin_ns:
            return 0
        due = min(self.blobs, int((now_ns - self.begin_ns) * self.rate / NS) + 1)
        return due - 1 if self.due_ns(due - 1) > now_ns else due
