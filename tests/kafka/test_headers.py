from typing import Any, cast

import pytest
from confluent_kafka import Message

from stream.core.records import UNREADABLE_HEADERS
from stream.kafka.headers import message_headers


class Stub:
    """Stands in for a message; librdkafka's cannot be made by hand."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def headers(self) -> Any:
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, []),
        ([("a", b"1"), ("a", None)], [("a", b"1"), ("a", None)]),
        ([("a", "x")], [("a", b"x")]),
    ],
)
def test_headers_are_pairs_of_name_and_bytes_in_order(found: Any, expected: Any) -> None:
    assert list(message_headers(cast("Message", Stub(found)))) == expected


def test_a_name_that_is_not_utf8_is_no_crash() -> None:
    broken = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    for error in (SystemError("returned a result with an exception set"), broken):
        assert message_headers(cast("Message", Stub(error))) is UNREADABLE_HEADERS
