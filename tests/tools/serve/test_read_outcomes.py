import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.config import load_settings
from stream.core.codec import ResultEncoder
from stream.core.dead_letter import to_dead_letter
from stream.core.records import Header, InputRecord
from stream.core.replay import replayed_headers
from stream.core.skipped import SkippedRange
from stream.errors import Reason, Rejected
from stream.tools.kafka.topic_reader import StoredRecord
from stream.tools.serve.outcomes import ResultReader, read_dead_letter, read_value

SETTINGS = load_settings()
TOPIC, GROUP = SETTINGS.input_topic, SETTINGS.group_id
READER = ResultReader(TOPIC)


@given(
    st.text(max_size=30),
    st.dictionaries(st.text(max_size=8), st.integers(1, 99), max_size=3),
    st.integers(0, 9),
)
def test_result_is_read_as_it_was_encoded(blob_id: str, counts: dict[str, int], partition: int) -> None:
    """Even if the id or a word looks like the end of a result."""
    record = InputRecord(TOPIC, partition, 10**12, b"key", b"text")
    encoded = ResultEncoder("r", 10**6, 10**6).encode(record, blob_id, orjson.dumps(counts), 7)
    read = READER.read(3, encoded.key, encoded.value, -5)
    assert read is not None
    assert (read.blob_id, read.source, read.reason) == (blob_id.encode(), (partition, 10**12), "")
    timestamp_ms, body = read_value(read.value)
    assert (timestamp_ms, body["anagram_counts"], body["words"]) == (-5, counts, 7)


def test_result_in_another_order_or_with_more_fields_is_read() -> None:
    source = {"offset": 4, "partition": 1, "topic": TOPIC, "new": 1}
    body = {"source": source, "new": 2, "words": 1, "anagram_counts": {}, "blob_id": "x"}
    read = READER.read(3, None, orjson.dumps(body), 0)
    assert read is not None
    assert (read.blob_id, read.source) == (b"x", (1, 4))


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"text",
        b"[]",
        b'{"source": 1}',
        b'{"blob_id":"x","anagram_counts":{},"words":0,"source":{"topic":"other","partition":0,"offset":1}}',
        b'{"source":{"topic":"text-blobs","partition":"x","offset":1}}',
    ],
)
def test_foreign_record_is_not_a_result(value: bytes | None) -> None:
    assert READER.read(3, b"key", value, 0) is None


def dead_letter(record: InputRecord, reason: Reason = Reason.BAD_JSON, group: str = GROUP) -> StoredRecord:
    why = Rejected(reason, "decode", "it failed at 7")
    made = to_dead_letter(
        record, why, topic="d", group=group, failed_at="2026-01-31T18:00:00Z", bytes_max=10**6
    )
    return StoredRecord("d", 0, 3, made.key, made.value, made.headers, 99)


@pytest.mark.parametrize(
    ("key", "value", "headers", "expected"),
    [
        (b"key", b"\xff", [], "key"),
        (None, b"\xff", [], "text-blobs-2-9"),
        (None, b'{"id": "own", "text": 1}', [("content-type", b"application/json")], "own"),
        (b"key", b'{"id": "own", "text": "x"}', [("content-type", b"application/json")], "own"),
        (b"key", b'{"id": 1', [("content-type", b"application/json")], "key"),
        (None, b"text", [("ce_id", b"event")], "event"),
        (b"\xff", None, [], "text-blobs-2-9"),
    ],
)
def test_dead_letter_has_the_id_that_its_result_would_have(
    key: bytes | None, value: bytes | None, headers: list[Header], expected: str
) -> None:
    record = InputRecord(TOPIC, 2, 9, key, value, headers)
    read = read_dead_letter(dead_letter(record), SETTINGS)
    assert read is not None
    assert (read.blob_id.decode(), read.source, read.reason) == (expected, (2, 9), "bad-json")
    timestamp_ms, fields = read_value(read.value)
    assert timestamp_ms == 99
    assert fields["message"] == "it failed at 7"
    assert fields["source"] == {"topic": TOPIC, "partition": 2, "offset": 9}


def test_other_records_of_the_topic_are_not_dead_letters() -> None:
    record = InputRecord(TOPIC, 2, 9, None, b"x")
    for stored in (
        dead_letter(record, group="another"),
        dead_letter(record._replace(topic="another")),
        StoredRecord("d", 0, 3, None, None, replayed_headers([1], TOPIC, GROUP, "id"), 0),
        StoredRecord("d", 0, 3, None, None, SkippedRange(0, 1, 2).headers(TOPIC, GROUP), 0),
        StoredRecord("d", 0, 3, None, None, [], 0),
    ):
        assert read_dead_letter(stored, SETTINGS) is None
