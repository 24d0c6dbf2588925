import json
import traceback
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from stream.core import codec
from stream.core.codec import Blob, decode_blob
from stream.core.dead_letter import to_dead_letter
from stream.core.records import Header, InputRecord, TextBlob
from stream.core.text import words
from stream.errors import Reason, Rejected

Format = Literal["text", "json"]

LIMIT = 1_000
JSON_HEADER: Header = ("content-type", b"application/json")
NAMES = st.sampled_from(["content-type", "Content-Type", "traceparent", "id", "", "ß"])
HEADERS = st.lists(st.tuples(NAMES, st.none() | st.sampled_from([b"application/json", b""]) | st.binary()))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "text", "x"]), inner),
    max_leaves=8,
)
SECRETS = st.text("☂Zq7", min_size=5, max_size=20)  # characters that no error text contains


def record(value: bytes | None, *headers: Header, key: bytes | None = b"key", offset: int = 7) -> InputRecord:
    return InputRecord("blobs", 3, offset, key, value, headers)


def rejected(record: InputRecord, input_format: Format = "text", limit: int = LIMIT) -> Rejected:
    with pytest.raises(Rejected) as caught:
        decode_blob(record, input_format, limit)
    return caught.value


@given(st.text(max_size=100))
def test_value_without_a_content_type_is_the_text(text: str) -> None:
    assert decode_blob(record(text.encode()), "text", LIMIT) == Blob("key", text.encode())


@given(st.text(min_size=1), st.text(max_size=100), st.booleans())
def test_envelope_carries_id_and_text(blob_id: str, text: str, ascii_only: bool) -> None:  # noqa: FBT001
    value = json.dumps({"id": blob_id, "text": text}, ensure_ascii=ascii_only).encode()
    assert decode_blob(record(value, JSON_HEADER), "text", LIMIT) == Blob(blob_id, text.encode())
    assert decode_blob(record(value), "json", LIMIT) == Blob(blob_id, text.encode())


@pytest.mark.parametrize("value", [b"", b'{"text": ""}'])
def test_empty_text_is_a_blob(value: bytes) -> None:
    assert decode_blob(record(value, *([JSON_HEADER] if value else [])), "text", LIMIT) == Blob("key", b"")


@pytest.mark.parametrize(
    ("headers", "is_json"),
    [
        ([], False),
        ([("content-type", b"application/json")], True),
        ([("content-type", b"application/json; charset=utf-8")], True),
        ([("content-type", b"application/json;charset=utf-8;x=y")], True),
        ([("content-type", b"  application/json ; charset=utf-8")], True),
        ([("Content-Type", b"Application/JSON")], True),
        ([("CONTENT-TYPE", b"APPLICATION/JSON; CHARSET=UTF-8")], True),
        ([("contentType", b"application/json")], True),
        ([("contentType", b'"application/json"')], True),
        ([("content_type", b"application/json")], True),
        ([("content-type", b"text/json")], True),
        ([("contentType", b'"text/plain;charset=UTF-8"')], False),
        ([("content-type", b"text/markdown")], False),
        ([("content-type", b"application/octet-stream")], False),
        ([("content-type", b"text/plain; note=application/json")], False),
        ([("content-type", b"text/plain")], False),
        ([("content-type", b"")], False),
        ([("content-type", None)], False),
        ([("x-content-type", b"application/json")], False),
        ([("content-type", b"text/plain"), ("content-type", b"application/json")], True),
        ([("content-type", b"application/json"), ("Content-Type", b"text/plain")], False),
        ([("content-type", b"application/json"), ("schema", b"x"), ("schema", None)], True),
    ],
    ids=str,
)
def test_value_is_an_envelope_if_the_last_content_type_is_json(
    headers: list[Header],
    is_json: bool,  # noqa: FBT001
) -> None:
    value = '{"text": "inner"}'
    blob = decode_blob(record(value.encode(), *headers), "text", LIMIT)
    assert blob.text == ("inner" if is_json else value)


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("content-type", b"application/cloudevents-batch+json"),
        ("content-type", b"application/cloudevents+avro"),
        ("contentType", b"application/vnd.api+json"),
        ("contentType", b'"application/x-java-object"'),
        ("content-type", b"application/jsonl"),
        ("content-type", b"application/json-seq"),
        ("Content-Type", b"application/xml"),
        ("content-type", b"application/avro"),
        ("content-type", b"image/png"),
        ("content-type", b"json"),
        ("content-type", b"\xff"),
    ],
)
def test_rejection_names_a_content_type_that_is_not_text(name: str, content_type: bytes) -> None:
    """Otherwise its syntax would be counted as words."""
    why = rejected(record(b'{"id": "x", "text": "listen"}', (name, content_type)))
    assert why.reason is Reason.CONTENT_TYPE
    assert why.reason.value == "unsupported-content-type"
    assert f"{name}: " in why.detail
    assert content_type.strip(b'"').decode("ascii", "backslashreplace") in why.detail


def test_long_content_type_is_truncated_in_the_rejection() -> None:
    assert len(rejected(record(b"cat", ("content-type", b"x" * 10_000))).detail) < 300


def test_byte_order_mark_belongs_neither_to_a_text_nor_to_an_envelope() -> None:
    mark = b"\xef\xbb\xbf"
    assert words(decode_blob(record(mark + b"cat"), "text", LIMIT).text) == ["cat"]
    assert decode_blob(record(mark + b'{"text": "cat"}', JSON_HEADER), "text", LIMIT).text == "cat"


@pytest.mark.parametrize("input_format", ["text", "json"])
@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-16", "mark of UTF-16"),
        ("utf-32", "mark of UTF-32"),
        ("utf-16-le", "like UTF-16"),
        ("utf-16-be", "like UTF-16"),
    ],
)
def test_rejection_names_utf_16(encoding: str, name: str, input_format: Format) -> None:
    why = rejected(record('{"text": "naïve café"}'.encode(encoding)), input_format)
    assert why.reason is Reason.UNDECODABLE
    assert why.detail.endswith(name)


def test_rejection_names_utf_16_for_an_ascii_envelope_too() -> None:
    assert rejected(record('{"text": "cat"}'.encode("utf-16-le")), "json").detail.endswith("like UTF-16")


def test_other_text_that_is_not_utf_8_is_not_mistaken_for_utf_16() -> None:
    assert rejected(record("naïve".encode("latin-1"))).detail == "not UTF-8 at byte 2"


def test_input_format_json_needs_no_header() -> None:
    assert decode_blob(record(b'{"text": "inner"}'), "json", LIMIT).text == "inner"
    assert rejected(record(b"inner"), "json").reason is Reason.BAD_JSON


@pytest.mark.parametrize(
    ("key", "expected"),
    [(b"key", "key"), ("schlüssel".encode(), "schlüssel"), (None, None), (b"", None), (b"\xff\xfe", None)],
)
@pytest.mark.parametrize("envelope", [None, {}, {"id": None}, {"id": ""}], ids=str)
def test_id_is_the_key_else_the_location_of_the_record(
    key: bytes | None, expected: str | None, envelope: dict[str, str] | None
) -> None:
    """This applies without an envelope and with an envelope that has no id."""
    value = b"text" if envelope is None else json.dumps(envelope | {"text": "text"}).encode()
    headers = [] if envelope is None else [JSON_HEADER]
    blob = decode_blob(record(value, *headers, key=key, offset=9), "text", LIMIT)
    assert blob == Blob(expected or "blobs-3-9", b"text")


@pytest.mark.parametrize("key", [b"key", None, b"", b"\xff"])
def test_id_of_the_envelope_takes_precedence_over_the_key(key: bytes | None) -> None:
    assert decode_blob(record(b'{"id": "own", "text": ""}', key=key), "json", LIMIT).blob_id == "own"


@given(st.dictionaries(st.text(), JSON_VALUES))
def test_unknown_fields_of_the_envelope_are_ignored(more: dict[str, object]) -> None:
    value = json.dumps(more | {"id": "own", "text": "inner"}).encode()
    assert decode_blob(record(value), "json", LIMIT) == Blob("own", b"inner")


@given(JSON_VALUES)
@example({"id": None, "text": ""})
@example({"id": "\x00", "text": "\u2028😀"})
@example({"id": 1, "text": ""})
def test_envelope_is_decoded_as_by_its_model(value: object) -> None:
    """The fast path accepts exactly what pydantic accepts."""
    raw = json.dumps(value).encode()
    try:
        model = TextBlob.model_validate_json(raw)
    except ValidationError:
        assert rejected(record(raw), "json").reason is Reason.WRONG_SHAPE
    else:
        assert codec._envelope(raw) == (model.id, model.text)


@pytest.mark.parametrize(
    "value",
    [b'{"text": "cat"}', b' {"x": [1.5, {}], "text": "\\u00e9", "id": null}\n', b'{"text": "", "id": "i"}'],
)
def test_valid_envelope_is_not_validated_again(value: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(codec, "_validated")
    envelope = json.loads(value)
    assert codec._envelope(value) == (envelope.get("id"), envelope["text"])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.NULL_VALUE),
        (b"", Reason.BAD_JSON),
        (b"cat", Reason.BAD_JSON),
        (b'{"text": "cat"', Reason.BAD_JSON),
        (b'{"text": "cat"} x', Reason.BAD_JSON),
        (b'{"text": "\\ud800"}', Reason.BAD_JSON),
        (b'{"text": "a\nb"}', Reason.BAD_JSON),
        (b"{'text': 'cat'}", Reason.BAD_JSON),
        (b"[" * 100_000, Reason.BAD_JSON),
        (b"\xef\xbb\xbf" * 5_000 + b'{"text": "cat"}', Reason.BAD_JSON),
        (b"null", Reason.WRONG_SHAPE),
        (b"[]", Reason.WRONG_SHAPE),
        (b'"cat"', Reason.WRONG_SHAPE),
        (b"1", Reason.WRONG_SHAPE),
        (b"{}", Reason.WRONG_SHAPE),
        (b'{"Text": "cat"}', Reason.WRONG_SHAPE),
        (b'{"text": null}', Reason.WRONG_SHAPE),
        (b'{"text": 1}', Reason.WRONG_SHAPE),
        (b'{"text": ["cat"]}', Reason.WRONG_SHAPE),
        (b'{"text": "cat", "id": 1}', Reason.WRONG_SHAPE),
        (b"\xff", Reason.UNDECODABLE),
        (b'{"text": "\xff"}', Reason.UNDECODABLE),
        (b'{"text": "\xed\xa0\x80"}', Reason.UNDECODABLE),
        (b'{"text": "' + b"x" * (LIMIT + 1) + b'"}', Reason.TEXT_TOO_LARGE),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_record_that_is_not_an_envelope_is_rejected(value: bytes | None, reason: Reason) -> None:
    why = rejected(record(value), "json")
    assert (why.reason, why.stage, why.attempts) == (reason, "decode", 1)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.NULL_VALUE),
        (b"\xff", Reason.UNDECODABLE),
        (b"cat \xc3", Reason.UNDECODABLE),
        (b"\xc0\x80", Reason.UNDECODABLE),
        (b"\xed\xa0\x80", Reason.UNDECODABLE),
        (b"x" * (LIMIT + 1), Reason.TEXT_TOO_LARGE),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_record_that_is_not_text_is_rejected(value: bytes | None, reason: Reason) -> None:
    why = rejected(record(value))
    assert (why.reason, why.stage, why.attempts) == (reason, "decode", 1)


@pytest.mark.parametrize("char", ["x", "ä", "☂", "😀"])
def test_limit_counts_the_bytes_of_the_text(char: str) -> None:
    """In an envelope, the limit applies to the decoded text."""
    size = len(char.encode()) * 10
    plain, envelope = record((char * 10).encode()), record(json.dumps({"text": char * 10}).encode())
    assert decode_blob(plain, "text", size).text == decode_blob(envelope, "json", size).text == char * 10
    assert rejected(plain, "text", size - 1).reason is Reason.TEXT_TOO_LARGE
    assert rejected(envelope, "json", size - 1).reason is Reason.TEXT_TOO_LARGE


@given(st.none() | st.binary(), st.none() | st.binary(), HEADERS, st.sampled_from(["text", "json"]))
def test_any_bytes_give_a_blob_or_a_rejection(
    key: bytes | None, value: bytes | None, headers: list[Header], input_format: Format
) -> None:
    _blob_or_rejection(record(value, *headers, key=key), input_format)


@given(JSON_VALUES, st.integers(0, 30), st.binary(max_size=2))
def test_any_json_whole_or_broken_gives_a_blob_or_a_rejection(
    value: object, position: int, inserted: bytes
) -> None:
    whole = json.dumps(value).encode()
    _blob_or_rejection(record(whole), "json")
    _blob_or_rejection(record(whole[:position] + inserted + whole[position:]), "json")
    _blob_or_rejection(record(whole[:position]), "json")


def _blob_or_rejection(record: InputRecord, input_format: Format) -> None:
    try:
        blob = decode_blob(record, input_format, 50)
    except Rejected as why:
        assert why.stage == "decode"  # noqa: PT017 - either outcome is right
        return
    assert blob.blob_id
    assert len(blob.text.encode()) <= 50


def _bad_values(secret: str) -> list[bytes]:
    quoted = json.dumps(secret, ensure_ascii=False)
    texts = [
        secret,
        quoted,
        f"[{quoted}]",
        f'{{"text": {quoted}',
        f'{{"text": {quoted}}} {secret}',
        f'{{"text": "\\{secret}"}}',
        f'{{"text": [{quoted}]}}',
        f'{{"text": {{{quoted}: 1}}}}',
        f'{{"id": {{{quoted}: {quoted}}}, "text": ""}}',
        f"{{{quoted}: {quoted}}}",
        f'{{"text": {json.dumps(secret * LIMIT)}}}',
    ]
    return [text.encode() for text in texts] + [
        secret.encode() + b"\xff",
        b'{"text": "' + secret.encode() + b"\xff",
    ]


@given(SECRETS)
def test_rejection_does_not_contain_the_text(secret: str) -> None:
    """Neither its message and arguments nor the headers of its dead letter contain it."""
    for value in _bad_values(secret):
        why = rejected(record(value), "json")
        assert secret not in repr((why.args, why.detail, vars(why)))
        dead_letter = to_dead_letter(
            record(value), why, topic="d", group="g", failed_at="now", bytes_max=10**6
        )
        headers = b"".join(name.encode() + (data or b"") for name, data in dead_letter.headers)
        assert secret.encode() not in headers


def test_traceback_of_a_rejection_does_not_contain_the_text() -> None:
    """A log line with `exc_info` prints this traceback, including the causes."""
    for value in _bad_values("☂Zq7☂Zq7"):
        why = rejected(record(value), "json")
        assert "☂Zq7" not in "".join(traceback.format_exception(why))
