import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.records import Header
from stream.errors import Misconfigured
from stream.tools.dead_letters.lines import (
    DeadLetterPosition,
    ExportedLetter,
    InputPosition,
    content_fields,
    decode_letter,
    encode_letter,
    exported_header,
)

contents = st.none() | st.binary() | st.text().map(str.encode)
headers = st.lists(st.tuples(st.text(), contents))


def letter(key: bytes | None, value: bytes | None, all_headers: list[Header]) -> ExportedLetter:
    contents: dict[str, Any] = {**content_fields("key", key), **content_fields("value", value)}
    return ExportedLetter(
        dead_letter=DeadLetterPosition(topic_id="id", partition=1, offset=2),
        input=InputPosition(topic="blobs", partition=3, offset=4),
        reason="bad-json",
        message="",
        failed_at="?",
        timestamp_ms=-(2**63),
        headers=[exported_header(each) for each in all_headers],
        **contents,
    )


@given(contents, contents, headers)
def test_line_is_byte_exact(key: bytes | None, value: bytes | None, all_headers: list[Header]) -> None:
    line = encode_letter(letter(key, value, all_headers))
    assert "\n" not in line
    read = decode_letter(line.encode(), "f:1")
    assert (read.key_bytes, read.value_bytes) == (key, value)
    assert [each.header for each in read.headers] == all_headers


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"value_base64": "!"}, "value_base64 is not base64"),
        ({"value": "a", "value_base64": "YQ=="}, "both value and value_base64"),
        ({"valeu": "a"}, "valeu"),
        ({"timestamp_ms": 2**63}, "timestamp_ms"),
        ({"timestamp_ms": "1"}, "timestamp_ms"),
        ({"dead_letter": {}}, "dead_letter.topic_id"),
        ({"input": {"topic": "t", "partition": -1, "offset": 0}}, "input.partition"),
        ({"headers": [{"value": "x"}]}, "headers.0.name"),
    ],
)
def test_wrong_line_is_named_with_its_field(change: dict[str, object], says: str) -> None:
    fields = {**json.loads(encode_letter(letter(b"k", None, []))), **change}
    with pytest.raises(Misconfigured, match="file:7") as failed:
        decode_letter(json.dumps(fields).encode(), "file:7")
    assert says in str(failed.value)


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"\xff", b"null"])
def test_line_that_is_not_an_object_is_refused(line: bytes) -> None:
    with pytest.raises(Misconfigured, match="file:1"):
        decode_letter(line, "file:1")
