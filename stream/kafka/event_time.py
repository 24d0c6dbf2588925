"""Gives results and dead letters timestamps that their topics accept."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from stream.core.columns import OutputRecords
from stream.core.event_time import (
    DEAD_LETTER_HEADER,
    NO_TIMESTAMP,
    RESULT_HEADER,
    TimestampLimits,
    Window,
    with_time,
)
from stream.core.records import OutputRecord
from stream.errors import InDoubt, Refused

CLOCKS_HINT = (
    "synchronize the clocks of this machine (timedatectl set-ntp true) and of the brokers with NTP, or raise "
    "message.timestamp.before.max.ms and message.timestamp.after.max.ms of the output topics"
)
_UNLIMITED = TimestampLimits()


class EventTime:
    """Applies the limits that the topics had at the start, until a topic refuses a timestamp nevertheless."""

    def __init__(
        self,
        results: TimestampLimits = _UNLIMITED,
        dead_letters: TimestampLimits = _UNLIMITED,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._limits = {RESULT_HEADER: results, DEAD_LETTER_HEADER: dead_letters}
        self._now = now
        self._uses_own_time = False

    def stamp_results(self, results: OutputRecords) -> OutputRecords:
        """Return the results, each with a timestamp; the current time replaces one that the topic refuses."""
        window, now_ms = self._window(RESULT_HEADER)
        stamps: list[Any] = results.timestamps_ms
        with suppress(TypeError):  # a result has no timestamp
            if window.earliest_ms <= min(stamps) and max(stamps) <= window.latest_ms:  # nearly always
                return results
        return OutputRecords.of(_stamped(record, window, now_ms, RESULT_HEADER) for record in results)

    def stamp_dead_letters(self, dead_letters: Sequence[OutputRecord]) -> list[OutputRecord]:
        """Return the dead letters; the current time replaces timestamps that their topic refuses."""
        window, now_ms = self._window(DEAD_LETTER_HEADER)
        return [_stamped(record, window, now_ms, DEAD_LETTER_HEADER) for record in dead_letters]

    def _window(self, header: str) -> tuple[Window, int]:
        """Return the timestamps that the topic accepts, and the current time in ms."""
        now_ms = int(self._now() * 1000)
        return NO_TIMESTAMP if self._uses_own_time else self._limits[header].window(now_ms), now_ms

    def refused(self, why: str) -> InDoubt | Refused:
        """Return the error for a transaction with a timestamp that a topic refused.

        The limits were changed, or the clocks differ, so from now on records get the time of this machine.
        The producer is replaced because its sequence of records has a gap. If a topic refuses the time of
        this machine as well, a retry does not help.
        """
        if not self._uses_own_time:
            self._uses_own_time = True
            return InDoubt(
                f"an output topic refused a timestamp that it accepted when this worker started: {why}. From "
                "now on results and dead letters get the time of this machine, and a header contains the "
                "timestamp of their input; after a restart the worker reads the limits of the topics again"
            )
        now = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="seconds")
        return Refused(
            f"an output topic refuses {now}, the time of this machine: {why}. The clock of this machine or "
            "of a broker is wrong. This batch is not committed, and the next worker reads it again",
            CLOCKS_HINT,
        )


def _stamped(record: OutputRecord, window: Window, now_ms: int, header: str) -> OutputRecord:
    if window.earliest_ms <= (record.timestamp_ms or 0) <= window.latest_ms:
        return record
    return with_time(record, now_ms, header)
