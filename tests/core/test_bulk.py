"""The fast path for a chunk gives the same results as the definition for each record."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.bulk import InputFormat, decode_blobs, encode_results
from stream.core.codec import Blob, ResultEncoder, decode_blob
from stream.core.columns import InputRecords
from stream.core.records import UNREADABLE_HEADERS, Header, InputRecord, OutputRecord
from stream.errors import Rejected

TEXT_BYTES_MAX = 60
BOM = b"\xef\xbb\xbf"
ORDINARY: list[bytes | None] = [
    b"cat",
    b"",
    "größe".encode(),
    b"a\nb",
    b'{"text":"act"}',
    b'{"text":"a","id":"7"}',
]
STRANGE: list[bytes | None] = [
    None, b"\xff", b"\xc3", b"\0\0\0\0\7x", b"\0\0", b"cat " * 20, BOM + b"cat", BOM + b'{"text":"x"}',
    b"[]", b"1", b'"text"', b"{", b'{"text":1}', b'{"text":"x","id":1}', b'{"text":"x","id":null}',
    b'{"text":"x","id":""}', b'{"text":"x"},{"text":"y"}', b'{"text":"' + b"y" * 70 + b'"}', b'{"id":"only"}',
]  # fmt: skip
HEADERS = ((), [("content-type", b"application/json")], [("x", b"y")], UNREADABLE_HEADERS, [("ce_id", b"e")])
KEYS = (b"key", b"k2", None, b"", b"\xff")


def decoded(record: InputRecord, input_format: InputFormat) -> Blob | tuple[str, str]:
    try:
        return decode_blob(record, input_format, TEXT_BYTES_MAX)
    except Rejected as why:
        return why.reason.value, str(why)


def one_by_one(records: InputRecords, input_format: InputFormat) -> list[Any]:
    blobs = decode_blobs(records, input_format, TEXT_BYTES_MAX)
    decoded = iter(map(Blob, blobs.ids, blobs.texts))
    rejected = {n: (why.reason.value, str(why)) for n, why in blobs.rejected.items()}
    return [rejected.get(n) or next(decoded) for n in range(len(records))]


def assert_decoded_alike(records: list[InputRecord], input_format: InputFormat) -> None:
    expected = [decoded(record, input_format) for record in records]
    assert one_by_one(InputRecords.of(records), input_format) == expected


def record(offset: int, key: bytes | None, value: bytes | None, headers: Any = ()) -> InputRecord:
    return InputRecord("50%d", 3, offset, key, value, headers, 1)


@given(
    st.sampled_from(["text", "json"]),
    st.lists(
        st.tuples(st.sampled_from(KEYS), st.sampled_from(ORDINARY + STRANGE), st.sampled_from(HEADERS)),
        min_size=1,
        max_size=4,
    ),
)
def test_chunk_decodes_to_the_same_blobs_as_its_records(
    input_format: InputFormat, columns: list[Any]
) -> None:
    assert_decoded_alike([record(offset, *each) for offset, each in enumerate(columns)], input_format)


@pytest.mark.parametrize("input_format", ["text", "json"])
@pytest.mark.parametrize("value", ORDINARY + STRANGE, ids=repr)
@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_one_strange_record_among_ordinary_ones_changes_none_of_them(
    input_format: InputFormat, value: bytes | None, key: bytes | None
) -> None:
    plain = b'{"text":"cat"}'
    values = [plain, value, plain]
    assert_decoded_alike([record(n, key, each) for n, each in enumerate(values)], input_format)


@given(
    st.lists(
        st.tuples(st.text(max_size=8), st.sampled_from([b"", b'"a":1', b'"b":12'])),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 200),
    st.sampled_from([(), [("traceparent", b"00-1")]]),
)
def test_chunk_encodes_to_the_same_results_as_its_records(
    columns: list[tuple[str, bytes]], bytes_max: int, headers: list[Header]
) -> None:
    records = [InputRecord("in", 0, 7 + n, None, b"", headers, n) for n in range(len(columns))]
    encoder = ResultEncoder("out", bytes_max, bytes_max + 200)
    expected: list[OutputRecord | tuple[int, str]] = []
    for n, (blob_id, entries) in enumerate(columns):
        try:
            expected.append(encoder.encode(records[n], blob_id, b"{%b}" % entries, n))
        except Rejected as why:
            expected.append((n, str(why)))
    results, rejected = encode_results(
        encoder,
        InputRecords.of(records),
        [c[0] for c in columns],
        [c[1] for c in columns],
        list(range(len(columns))),
    )
    assert list(results) == [each for each in expected if isinstance(each, OutputRecord)]
    assert [(n, str(why)) for n, why in rejected.items()] == [
        each for each in expected if type(each) is tuple
    ]


@pytest.mark.parametrize(
    "ids", [['a",', "b"], ["a", ',"b'], ["\\", '"'], ['","', '","'], ["", ""], ["é", "日"]]
)
def test_ids_with_quotes_and_commas_survive_encoding(ids: list[str]) -> None:
    records = InputRecords.of([InputRecord("in", 0, n, None, b"", (), n) for n in range(len(ids))])
    results, _ = encode_results(
        ResultEncoder("out", 1000, 1000), records, ids, [b""] * len(ids), [0] * len(ids)
    )
    assert [json.loads(value or b"")["blob_id"] for value in results.values] == ids
    assert results.keys == [blob_id.encode() for blob_id in ids]
