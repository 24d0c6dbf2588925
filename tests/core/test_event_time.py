import pytest

from stream.core.event_time import (
    FOREVER_MS,
    HEADER_BYTES_MAX,
    MARGIN_MS,
    NO_TIMESTAMP,
    RESULT_HEADER,
    TimestampLimits,
    with_time,
)
from stream.core.records import OutputRecord, framing_bytes

NOW, HOUR = 1_800_000_000_000, 3_600_000
ANY_TIMESTAMP = [-(2**63), -5, -1, 0, 1, NOW, NOW * 1000, 2**63 - 1]


def test_topic_without_limits_accepts_whatever_the_client_can_send() -> None:
    earliest_ms, latest_ms = TimestampLimits().window(NOW)
    assert (earliest_ms, latest_ms) == (1, FOREVER_MS)


@pytest.mark.parametrize("limit_ms", [0, 1, 1_000, HOUR, 7 * 24 * HOUR, FOREVER_MS])
def test_window_lies_within_the_limits_and_contains_now(limit_ms: int) -> None:
    earliest_ms, latest_ms = TimestampLimits(limit_ms, limit_ms).window(NOW)
    assert max(0, NOW - limit_ms) <= earliest_ms <= NOW <= latest_ms <= min(NOW + limit_ms, FOREVER_MS)


def test_clocks_may_differ_a_little() -> None:
    earliest_ms, latest_ms = TimestampLimits(HOUR, HOUR).window(NOW)
    assert (earliest_ms, latest_ms) == (NOW - HOUR + MARGIN_MS, NOW + HOUR - MARGIN_MS)


def test_no_timestamp_lies_in_the_empty_window() -> None:
    assert not any(NO_TIMESTAMP.earliest_ms <= each <= NO_TIMESTAMP.latest_ms for each in ANY_TIMESTAMP)


@pytest.mark.parametrize("timestamp_ms", ANY_TIMESTAMP)
def test_header_keeps_any_timestamp_and_is_small(timestamp_ms: int) -> None:
    record = OutputRecord("results", 0, b"key", b"value", [("a", b"b")], timestamp_ms)
    stamped = with_time(record, NOW, "dead-letter.timestamp-ms")
    assert stamped.timestamp_ms == NOW
    assert list(stamped.headers) == [("a", b"b"), ("dead-letter.timestamp-ms", str(timestamp_ms).encode())]
    assert framing_bytes(stamped.headers) - framing_bytes(record.headers) <= HEADER_BYTES_MAX


def test_record_without_a_timestamp_gets_no_header() -> None:
    record = OutputRecord("results", 0, b"key", b"value")
    assert with_time(record, NOW, RESULT_HEADER) == record._replace(timestamp_ms=NOW)
