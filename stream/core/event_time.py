"""Chooses the timestamp of a result or dead letter: that of its input, if the topic keeps it. Pure.

Otherwise the record gets the time of the worker, and a header contains the timestamp of the input.
"""

from dataclasses import dataclass
from typing import NamedTuple

from stream.core.records import OutputRecord

FOREVER_MS = 2**63 - 1
MARGIN_MS = 30_000  # by which the clocks of worker and broker may differ
HEADER_BYTES_MAX = 64  # the most that `with_time` adds to a record
RESULT_HEADER, DEAD_LETTER_HEADER = "input-timestamp-ms", "dead-letter.timestamp-ms"


class Window(NamedTuple):
    """The timestamps that a topic accepts and keeps, in ms; empty if the latest is before the earliest."""

    earliest_ms: int
    latest_ms: int


NO_TIMESTAMP = Window(1, 0)


@dataclass(frozen=True, slots=True)
class TimestampLimits:
    """How far timestamps may be from the broker's clock.

    Attributes:
        before_ms: an older record is refused, or deleted soon, because retention depends on timestamps.
        after_ms: a record further in the future is refused.
    """

    before_ms: int = FOREVER_MS
    after_ms: int = FOREVER_MS

    def window(self, now_ms: int) -> Window:
        """Return what the topic accepts at this time. Clients send no negative timestamps; 0 means now."""
        earliest_ms = now_ms - self.before_ms + min(MARGIN_MS, self.before_ms // 2)
        latest_ms = now_ms + self.after_ms - min(MARGIN_MS, self.after_ms // 2)
        return Window(max(1, earliest_ms), min(FOREVER_MS, latest_ms))


def with_time(record: OutputRecord, now_ms: int, header: str) -> OutputRecord:
    """Return the record with this time; `header` contains the timestamp of its input."""
    if record.timestamp_ms is None:
        return record._replace(timestamp_ms=now_ms)
    original = (header, b"%d" % record.timestamp_ms)
    return record._replace(timestamp_ms=now_ms, headers=[*record.headers, original])
