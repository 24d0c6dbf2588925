"""Parses and formats times. A user gives a date, a time, or an age."""

import re
from datetime import UTC, datetime, timedelta
from time import time

from stream.errors import Misconfigured

_AGO = re.compile(r"(\d{1,9})\s*([smhd])")
_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HELP = "an ISO 8601 date or time (UTC if it has no time zone), or an age such as 90s, 15m, 2h or 7d"


def parse_time(text: str, option: str) -> int:
    """Return the time in ms since 1970.

    Raises:
        Misconfigured: the text is neither a time nor an age.
    """
    if ago := _AGO.fullmatch(text.strip()):
        return int((time() - int(ago[1]) * _UNIT_S[ago[2]]) * 1000)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise Misconfigured(
            f"{option}: '{text}' is not a time", f"give {HELP}, for example: {option} 2026-01-31T18:00"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def shown_time(time_ms: int) -> str:
    """Format a time in UTC, to the second. Kafka stores any 64-bit number; -1 means no time."""
    if time_ms == -1:
        return "none"
    try:
        return (_EPOCH + timedelta(milliseconds=time_ms)).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError):
        return f"{time_ms} ms, not a date"
