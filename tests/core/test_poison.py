"""A record that cannot be decoded becomes one dead letter, which always fits into its topic."""

import pytest

from stream.core.codec import decode_blob
from stream.core.dead_letter import to_dead_letter
from stream.core.records import UNREADABLE_HEADERS, Header, InputRecord, OutputRecord, record_bytes
from stream.errors import Reason, Rejected

WHY = Rejected(Reason.TEXT_TOO_LARGE, "decode", "too long")
LIMIT = 3000


def make_dead_letter(key: bytes | None, value: bytes | None, headers: list[Header]) -> OutputRecord:
    record = InputRecord("in", 0, 7, key, value, headers)
    return to_dead_letter(record, WHY, topic="dead", group="g", failed_at="now", bytes_max=LIMIT)


@pytest.mark.parametrize(
    ("key", "value", "headers", "removed"),
    [
        (b"k", b"v", [("h", b"1")], set()),
        (b"k", b"v" * 5000, [("h", b"1")], {"value"}),
        (b"k", b"v", [("h", b"1" * 5000)], {"value", "headers"}),
        (b"k" * 5000, b"v", [("h", b"1")], {"value", "headers", "key"}),
        (b"k" * 5000, None, [], {"headers", "key"}),
    ],
)
def test_dead_letter_fits_whichever_part_of_the_record_is_too_long(
    key: bytes, value: bytes | None, headers: list[Header], removed: set[str]
) -> None:
    dead_letter = make_dead_letter(key, value, headers)
    assert record_bytes(dead_letter.key, dead_letter.value, dead_letter.headers) <= LIMIT
    assert (dead_letter.key is None) == ("key" in removed)
    assert (dead_letter.value is None) == ("value" in removed or value is None)
    assert ("h" in dict(dead_letter.headers)) == (bool(headers) and "headers" not in removed)
    assert dict(dead_letter.headers)["__streams.errors.offset"] == b"7"
    for part in removed:
        assert f"dead-letter.{part}-bytes" in dict(dead_letter.headers)


def test_record_with_unreadable_headers_is_rejected_and_its_dead_letter_has_none_of_them() -> None:
    record = InputRecord("in", 0, 7, b"k", b"cat", UNREADABLE_HEADERS)
    with pytest.raises(Rejected) as caught:
        decode_blob(record, "text", 100)
    assert caught.value.reason is Reason.BAD_HEADERS
    dead_letter = to_dead_letter(
        record, caught.value, topic="dead", group="g", failed_at="now", bytes_max=LIMIT
    )
    assert (dead_letter.key, dead_letter.value) == (b"k", b"cat")
    assert "dead-letter.unreadable" not in dict(dead_letter.headers)
