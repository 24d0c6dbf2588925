"""CloudEvents on the input, in both content modes of the Kafka binding, and Schema Registry values."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.codec import Blob, decode_blob
from stream.core.records import Header, InputRecord
from stream.errors import Reason, Rejected

STRUCTURED: Header = ("content-type", b"application/cloudevents+json; charset=UTF-8")
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "event-7",
    "source": "/mails",
    "type": "com.example.mail",
    "datacontenttype": "text/plain",
    "data": "listen",
}


def record(value: bytes, *headers: Header, key: bytes | None = None) -> InputRecord:
    return InputRecord("blobs", 3, 9, key, value, headers)


def structured(key: bytes | None = None, **changes: Any) -> InputRecord:
    event = {name: value for name, value in (EVENT | changes).items() if value is not ...}
    return record(json.dumps(event).encode(), STRUCTURED, key=key)


def decode(record: InputRecord) -> Blob:
    return decode_blob(record, "text", 1_000)


def rejected(record: InputRecord) -> Rejected:
    with pytest.raises(Rejected) as caught:
        decode(record)
    return caught.value


@given(st.text(max_size=50))
def test_data_of_a_text_type_is_the_text(text: str) -> None:
    assert decode(structured(data=text)) == Blob("event-7", text.encode())


@pytest.mark.parametrize("datacontenttype", ["application/json", "text/json", "application/json; x=y", ...])
def test_data_of_type_json_is_an_envelope(datacontenttype: object) -> None:
    """JSON is also the default."""
    event = structured(datacontenttype=datacontenttype, data={"text": "listen", "id": "own"})
    assert decode(event) == Blob("own", b"listen")


@pytest.mark.parametrize(
    ("key", "own", "expected"),
    [(b"key", "own", "own"), (b"key", None, "key"), (None, None, "event-7"), (b"\xff", None, "event-7")],
)
def test_id_is_the_envelope_id_else_the_key_else_the_event_id(
    key: bytes | None, own: str | None, expected: str
) -> None:
    event = structured(key, datacontenttype="application/json", data={"text": "listen", "id": own})
    assert decode(event).blob_id == expected
    headers = [("content-type", b"application/json"), ("ce_specversion", b"1.0"), ("ce_id", b"event-7")]
    envelope = json.dumps({"text": "listen", "id": own}).encode()
    assert decode(record(envelope, *headers, key=key)).blob_id == expected


@given(st.binary(max_size=20))
def test_data_in_base64_is_decoded(data: bytes) -> None:
    event = structured(data=..., data_base64=base64.b64encode(data).decode())
    try:
        data.decode()
    except UnicodeDecodeError:
        assert rejected(event).reason is Reason.UNDECODABLE
    else:
        assert decode(event).utf8 == data


@pytest.mark.parametrize(
    ("changes", "reason", "named"),
    [
        ({"specversion": ...}, Reason.WRONG_SHAPE, "specversion"),
        ({"specversion": "0.3"}, Reason.WRONG_SHAPE, "specversion"),
        ({"id": ""}, Reason.WRONG_SHAPE, "id"),
        ({"source": ...}, Reason.WRONG_SHAPE, "source"),
        ({"type": 1}, Reason.WRONG_SHAPE, "type"),
        ({"data": {"text": "listen"}}, Reason.WRONG_SHAPE, "text/plain"),
        ({"data": ...}, Reason.WRONG_SHAPE, "text/plain"),
        ({"datacontenttype": "application/xml", "data": "<a/>"}, Reason.WRONG_SHAPE, "application/xml"),
        ({"datacontenttype": "application/json", "data": "listen"}, Reason.WRONG_SHAPE, "object"),
        ({"datacontenttype": "application/json", "data": {"text": 1}}, Reason.WRONG_SHAPE, "text"),
        ({"data": ..., "data_base64": "?"}, Reason.WRONG_SHAPE, "base64"),
        ({"data": "x" * 1_001}, Reason.TEXT_TOO_LARGE, "1001"),
    ],
    ids=str,
)
def test_rejection_of_an_invalid_event_names_what_is_wrong(
    changes: dict[str, Any], reason: Reason, named: str
) -> None:
    why = rejected(structured(**changes))
    assert (why.reason, why.stage) == (reason, "decode")
    assert named in why.detail


def test_event_that_is_not_json_is_rejected() -> None:
    assert rejected(record(b'{"specversion": "1.0"', STRUCTURED)).reason is Reason.BAD_JSON


def test_event_with_a_byte_order_mark_is_read() -> None:
    value = b"\xef\xbb\xbf" + json.dumps(EVENT).encode()
    assert decode(record(value, STRUCTURED)).text == "listen"


def test_format_json_reads_events_too() -> None:
    assert decode_blob(structured(), "json", 1_000).text == "listen"


def test_rejection_of_an_event_does_not_contain_its_text() -> None:
    for changes in ({"data": ["☂Zq7"]}, {"datacontenttype": "application/json", "data": "☂Zq7"}):
        assert "☂Zq7" not in repr(vars(rejected(structured(**changes))))


@pytest.mark.parametrize("input_format", ["text", "json"])
@pytest.mark.parametrize(
    "payload", [b"", b'{"text": "listen"}', b"\x0clisten", b"\x00\x0a\x06listen"], ids=ascii
)
@pytest.mark.parametrize("schema_id", [1, 42, 100_001, 2**24 - 1])
def test_rejection_of_a_schema_registry_value_names_its_schema_id(
    schema_id: int, payload: bytes, input_format: str
) -> None:
    """Otherwise it would be counted as the words `text` and `listen`, because zero bytes are dropped."""
    value = b"\0" + schema_id.to_bytes(4) + payload
    with pytest.raises(Rejected) as caught:
        decode_blob(record(value), input_format, 1_000)  # type: ignore[arg-type]
    assert caught.value.reason is Reason.SCHEMA_REGISTRY
    assert str(schema_id) in caught.value.detail


@pytest.mark.parametrize("value", [b"", b"\0", b"\0\0\0\0", b"\0cat sat", "cat sat".encode("utf-16-be")])
def test_other_text_with_zero_bytes_is_accepted(value: bytes) -> None:
    assert decode(record(value)).utf8 == value
