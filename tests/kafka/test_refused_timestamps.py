"""Timestamps of results and dead letters, and the handling of a refused one."""

import pytest

from stream.core.columns import OutputRecords
from stream.core.event_time import TimestampLimits
from stream.core.records import OutputRecord
from stream.errors import InDoubt, Refused
from stream.kafka.event_time import EventTime
from stream.kafka.topics import TopicFacts

NOW, HOUR = 1_800_000_000_000, 3_600_000
STRICT = TimestampLimits(HOUR, HOUR)


def stamp(times: EventTime, records: list[OutputRecord]) -> list[OutputRecord]:
    results = [record for record in records if record.topic == "results"]
    dead_letters = [record for record in records if record.topic != "results"]
    stamped = times.stamp_results(OutputRecords.of(results)) if results else ()
    return [*stamped, *times.stamp_dead_letters(dead_letters)]


def event_time(results: TimestampLimits = STRICT, dead_letters: TimestampLimits = STRICT) -> EventTime:
    return EventTime(results, dead_letters, lambda: NOW / 1000)


def record(timestamp_ms: int | None, topic: str = "results") -> OutputRecord:
    return OutputRecord(topic, 0, b"key", b"value", (), timestamp_ms)


@pytest.mark.parametrize("ago_ms", [0, 1, HOUR // 2, -HOUR // 2])
def test_timestamp_that_the_topic_accepts_is_kept(ago_ms: int) -> None:
    records = [record(NOW - ago_ms), record(NOW - ago_ms, "dead-letters")]
    assert stamp(event_time(), records) == records


@pytest.mark.parametrize(
    "timestamp_ms", [-(2**63), -1, 0, NOW - 2 * HOUR, NOW + 2 * HOUR, NOW * 1000, 2**63 - 1]
)
def test_other_timestamp_is_replaced_and_kept_in_a_header(timestamp_ms: int) -> None:
    records = [record(timestamp_ms), record(NOW), record(timestamp_ms, "dead-letters")]
    result, other, dead_letter = stamp(event_time(), records)
    assert (result.timestamp_ms, dead_letter.timestamp_ms, other) == (NOW, NOW, record(NOW))
    assert result.headers == [("input-timestamp-ms", str(timestamp_ms).encode())]
    assert dead_letter.headers == [("dead-letter.timestamp-ms", str(timestamp_ms).encode())]


def test_each_topic_has_its_own_limits() -> None:
    records = [record(NOW + 2 * HOUR), record(NOW + 2 * HOUR, "dead-letters")]
    result, dead_letter = stamp(event_time(dead_letters=TimestampLimits()), records)
    assert (result.timestamp_ms, dead_letter) == (NOW, records[1])


def test_record_without_a_timestamp_gets_the_current_time() -> None:
    assert stamp(event_time(), [record(None)]) == [record(NOW)]
    assert stamp(event_time(), []) == []


def test_refused_timestamp_is_not_sent_again_and_a_second_refusal_stops_the_worker() -> None:
    times = event_time()
    assert isinstance(times.refused("invalid"), InDoubt)
    (stamped,) = stamp(times, [record(NOW - 1)])
    assert stamped.headers == [("input-timestamp-ms", str(NOW - 1).encode())]
    end = times.refused("invalid")
    assert isinstance(end, Refused)
    assert "2027-01-15T08:00:00" in str(end)
    assert "NTP" in end.hint


@pytest.mark.parametrize(
    ("configs", "limits"),
    [
        ({}, TimestampLimits()),
        ({"message.timestamp.after.max.ms": "3600000"}, TimestampLimits(after_ms=HOUR)),
        ({"message.timestamp.before.max.ms": "5"}, TimestampLimits(before_ms=5)),
        ({"message.timestamp.difference.max.ms": "5"}, TimestampLimits(5, 5)),
        (
            {"message.timestamp.type": "LogAppendTime", "message.timestamp.after.max.ms": "5"},
            TimestampLimits(),
        ),
        ({"cleanup.policy": "delete", "retention.ms": "3600000"}, TimestampLimits(before_ms=HOUR)),
        ({"cleanup.policy": "delete", "retention.ms": "-1"}, TimestampLimits()),
        ({"cleanup.policy": "compact", "retention.ms": "3600000"}, TimestampLimits()),
    ],
    ids=str,
)
def test_limits_are_those_of_the_topic_and_its_retention(
    configs: dict[str, str], limits: TimestampLimits
) -> None:
    """Retention deletes a record whose timestamp is too old within minutes."""
    assert TopicFacts("results", "id", 1, configs).timestamp_limits == limits
