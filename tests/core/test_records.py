import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from stream.core.records import (
    AnagramResult,
    DeadLetterHeaders,
    Header,
    SignatureCount,
    SourceOffset,
    TextBlob,
    record_bytes,
)

BATCH_HEADER_BYTES = 61
BYTES = st.none() | st.binary(max_size=300)
SOURCE = SourceOffset(topic="blobs", partition=3, offset=7)
ALIASES = [field.alias or "" for field in DeadLetterHeaders.model_fields.values()]
MODELS = [
    TextBlob(id="id", text="cat"),
    SOURCE,
    AnagramResult(blob_id="id", anagram_counts={"cat": 1}, words=1, source=SOURCE),
    SignatureCount(signature="act", total="1"),
    DeadLetterHeaders.model_validate(dict.fromkeys(ALIASES, "x")),
]


def by_name(model: BaseModel) -> str:
    return type(model).__name__


@pytest.mark.parametrize("model", MODELS, ids=by_name)
def test_record_is_frozen(model: BaseModel) -> None:
    for name in type(model).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(model, name, getattr(model, name))


@pytest.mark.parametrize("model", MODELS[1:], ids=by_name)
def test_reader_ignores_fields_of_later_versions(model: BaseModel) -> None:
    assert type(model).model_validate(model.model_dump(by_alias=True) | {"other": 1}) == model


@pytest.mark.parametrize(
    ("model", "bad"),
    [
        (TextBlob, {"id": 1, "text": "cat"}),
        (TextBlob, {"text": b"cat"}),
        (SourceOffset, {"topic": "blobs", "partition": "3", "offset": 7}),
        (SourceOffset, {"topic": "blobs", "partition": 3, "offset": -1}),
        (AnagramResult, {"blob_id": "", "anagram_counts": {"cat": 0}, "words": 1, "source": SOURCE}),
        (AnagramResult, {"blob_id": "", "anagram_counts": {}, "words": -1, "source": SOURCE}),
        (SignatureCount, {"signature": "act", "total": "0"}),
        (SignatureCount, {"signature": "act", "total": "01"}),
        (SignatureCount, {"signature": "", "total": "1"}),
        (SignatureCount, {"signature": "a1", "total": "1"}),
    ],
)
def test_record_is_strict(model: type[BaseModel], bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(bad)


def varint_bytes(number: int) -> int:
    """Return the size of a number in zigzag encoding, as in the record format."""
    zigzag, size = number << 1 if number >= 0 else ~(number << 1), 1
    while zigzag := zigzag >> 7:
        size += 1
    return size


def with_length(data: bytes | None) -> int:
    return varint_bytes(-1) if data is None else varint_bytes(len(data)) + len(data)


def exact_bytes(key: bytes | None, value: bytes | None, headers: list[Header]) -> int:
    """Return the size of an uncompressed batch of one record, as in the protocol guide."""
    body = 1 + 10 + 5 + with_length(key) + with_length(value) + varint_bytes(len(headers))
    body += sum(with_length(name.encode()) + with_length(data) for name, data in headers)
    return BATCH_HEADER_BYTES + varint_bytes(body) + body


@given(BYTES, BYTES, st.lists(st.tuples(st.text(max_size=20), BYTES)))
def test_estimated_size_of_a_record_is_an_upper_bound_and_close(
    key: bytes | None, value: bytes | None, headers: list[Header]
) -> None:
    exact = exact_bytes(key, value, headers)
    assert exact <= record_bytes(key, value, headers) <= exact + 60 + 8 * len(headers)
