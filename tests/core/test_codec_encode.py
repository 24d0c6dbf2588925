import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.codec import ResultEncoder
from stream.core.decide import Decision
from stream.core.records import (
    RESULT_SCHEMA,
    AnagramResult,
    Header,
    InputRecord,
    OutputRecord,
    SourceOffset,
    record_bytes,
)
from stream.errors import Reason, Rejected

LIMIT = 100_000
COUNTS = st.dictionaries(st.text(), st.integers(1, 2**63 - 1))
TRACE: list[Header] = [("traceparent", b"00-4bf92f-00f067-01"), ("tracestate", b"a=b")]


def encode(decision: Decision, *headers: Header, blob_id: str = "id", **limits: int) -> OutputRecord:
    record = InputRecord("blobs", 3, 7, b"key", b"value", headers, timestamp_ms=1)
    encoder = ResultEncoder("results", **({"result_bytes_max": LIMIT, "record_bytes_max": LIMIT} | limits))
    return encoder.encode(record, blob_id, decision.counts_json, decision.words)


@given(
    st.text(), COUNTS, st.integers(0, 2**63 - 1), st.text(), st.integers(0, 2**31), st.integers(0, 2**63 - 1)
)
def test_encoded_result_is_the_json_of_its_model(  # noqa: PLR0913, PLR0917 - the fields of a result
    blob_id: str, counts: dict[str, int], words: int, topic: str, partition: int, offset: int
) -> None:
    """The fast path writes field by field; pydantic writes according to the schema in `schemas/`."""
    record = InputRecord(topic, partition, offset, None, b"")
    counts_json = Decision(counts, {}, words).counts_json
    encoded = ResultEncoder("results", 10**6, 10**6).encode(record, blob_id, counts_json, words).value
    assert encoded is not None
    source = SourceOffset(topic=topic, partition=partition, offset=offset)
    model = AnagramResult(blob_id=blob_id, anagram_counts=counts, words=words, source=source)
    assert json.loads(encoded) == json.loads(model.model_dump_json())
    assert AnagramResult.model_validate_json(encoded) == model


def test_order_of_the_counts_is_kept() -> None:
    """The decision sorts them, so that readers can compare results byte for byte."""
    counts = {"b": 1, "a": 2, "c": 3}
    value = encode(Decision(counts, {}, 6)).value or b""
    assert list(json.loads(value)["anagram_counts"]) == ["b", "a", "c"]


def test_text_without_words_has_a_result() -> None:
    value = encode(Decision({}, {}, 0)).value or b""
    assert json.loads(value) == {
        "blob_id": "id",
        "anagram_counts": {},
        "words": 0,
        "source": {"topic": "blobs", "partition": 3, "offset": 7},
    }


def test_result_goes_to_the_partition_of_its_input_under_the_id_of_its_blob() -> None:
    result = encode(Decision({"cat": 1}, {"act": 1}, 1), blob_id="schlüssel")
    assert (result.topic, result.partition, result.key) == ("results", 3, "schlüssel".encode())
    assert result.timestamp_ms == 1  # the event time of the input


def test_headers_contain_type_schema_and_the_trace_of_the_record() -> None:
    foreign: list[Header] = [("content-type", b"text/plain"), ("schema", b"theirs"), ("x", b"y"), ("z", None)]
    own = [("content-type", b"application/json"), ("schema", RESULT_SCHEMA.encode())]
    decision = Decision({}, {}, 0)
    assert list(encode(decision, *foreign).headers) == own
    assert list(encode(decision, *foreign, *TRACE).headers) == own + TRACE
    assert list(encode(decision, *TRACE, *foreign, *TRACE).headers) == own + TRACE + TRACE


def test_result_above_the_limit_is_rejected_and_one_at_the_limit_is_not() -> None:
    decision = Decision({"cat": 1}, {"act": 1}, 1)
    size = len(encode(decision).value or b"")
    assert encode(decision, result_bytes_max=size).value
    with pytest.raises(Rejected) as caught:
        encode(decision, result_bytes_max=size - 1)
    assert (caught.value.reason, caught.value.stage) == (Reason.RESULT_TOO_LARGE, "encode")
    assert str(caught.value).endswith(f"the result has {size} bytes, the limit is {size - 1}")


def test_encoder_names_the_source_of_each_record_of_any_partition() -> None:
    encoder = ResultEncoder("results", LIMIT, LIMIT)
    sources = [("blobs", 3, 7), ("blobs", 3, 8), ("blobs", 4, 8), ("others", 3, 7), ("blobs", 3, 9)]
    results = [encoder.encode(InputRecord(*source, None, b""), "id", b"{}", 0) for source in sources]
    encoded = [json.loads(result.value or b"")["source"] for result in results]
    assert encoded == [{"topic": t, "partition": p, "offset": o} for t, p, o in sources]


@pytest.mark.parametrize("large", ["blob_id", "headers"])
def test_result_is_rejected_if_only_its_key_or_headers_exceed_the_limit_of_the_topic(large: str) -> None:
    decision = Decision({"cat": 1}, {"act": 1}, 1)
    blob_id = "x" * 1_000 if large == "blob_id" else "id"
    headers = [("tracestate", b"x" * 1_000)] if large == "headers" else []
    result = encode(decision, *headers, blob_id=blob_id)
    size = record_bytes(result.key, result.value, result.headers)
    assert encode(decision, *headers, blob_id=blob_id, record_bytes_max=size) == result
    with pytest.raises(Rejected, match="result-too-large"):
        encode(decision, *headers, blob_id=blob_id, record_bytes_max=size - 1)
