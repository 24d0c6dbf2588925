"""Gives results and dead letters timestamps that their topics accept."""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from operator import attrgetter

from stream.core.event_time import DEAD_LETTER_HEADER, NO_TIMESTAMP, RESULT_HEADER, TimestampLimits, with_time
from stream.core.records import OutputRecord
from stream.errors import InDoubt, Refused

CLOCKS_HINT = (
    "synchronize the clocks of this machine (timedatectl set-ntp true) and of the brokers by NTP, or raise "
    "message.timestamp.before.max.ms and message.timestamp.after.max.ms of the output topics"
)
_UNLIMITED = TimestampLimits()
_timestamp = attrgetter("timestamp_ms")


class EventTime:
    """Knows the limits of the topics as of the start, and that one refused a timestamp nevertheless."""

    def __init__(
        self,
        results: TimestampLimits = _UNLIMITED,
        dead_letters: TimestampLimits = _UNLIMITED,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._limits = {RESULT_HEADER: results, DEAD_LETTER_HEADER: dead_letters}
        self._now = now
        self._uses_own_time = False

    def stamp(self, records: Iterable[OutputRecord], result_topic: str) -> list[OutputRecord]:
        """Return the records; those with a timestamp that their topic refuses have the time of now."""
        stamped, now_ms = list(records), int(self._now() * 1000)
        windows = {
            header: NO_TIMESTAMP if self._uses_own_time else limits.window(now_ms)
            for header, limits in self._limits.items()
        }
        try:  # the fast path: nearly always all of them are in both windows
            stamps = list(map(_timestamp, stamped))
            earliest_ms = max(window.earliest_ms for window in windows.values())
            latest_ms = min(window.latest_ms for window in windows.values())
            if not stamps or (earliest_ms <= min(stamps) and max(stamps) <= latest_ms):
                return stamped
        except TypeError:  # one is None
            pass
        for number, record in enumerate(stamped):
            header = RESULT_HEADER if record.topic == result_topic else DEAD_LETTER_HEADER
            earliest_ms, latest_ms = windows[header]
            if not earliest_ms <= (record.timestamp_ms or 0) <= latest_ms:
                stamped[number] = with_time(record, now_ms, header)
        return stamped

    def refused(self, why: str) -> InDoubt | Refused:
        """Return the error for a transaction with a timestamp that a topic refused.

        The limits were changed, or the clocks differ, so from now on records have the time of this machine.
        The producer is replaced: its sequence of records has a gap. If a topic refuses the time of this
        machine as well, a repetition does not help.
        """
        if not self._uses_own_time:
            self._uses_own_time = True
            return InDoubt(
                f"an output topic refused a timestamp that it accepted when this worker started: {why}. From "
                "now on results and dead letters have the time of this machine, and the timestamp of their "
                "input in a header; after a restart the worker reads the limits of the topics again"
            )
        now = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="seconds")
        return Refused(
            f"an output topic refuses {now}, the time of this machine: {why}. The clock of this machine or "
            "of a broker is off; nothing of this batch is committed, and the next worker reads it again",
            CLOCKS_HINT,
        )
