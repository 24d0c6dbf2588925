from typing import Any, cast

import pytest
from confluent_kafka import Message

from stream.core.records import UNREADABLE_HEADERS
from stream.kafka.headers import message_headers


class Stub:
    """Stands in for a message, which only librdkafka can create."""

    def __init__(self, headers: Any) -> None:
        self._headers = headers

    def headers(self) -> Any:
        if isinstance(self._headers, Exception):
            raise self._headers
        return self._headers


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (None, []),
        ([("a", b"1"), ("a", None)], [("a", b"1"), ("a", None)]),
        ([("a", "x")], [("a", b"x")]),
    ],
)
def test_headers_are_pairs_of_name_and_bytes_in_order(headers: Any, expected: Any) -> None:
    assert list(message_headers(cast("Message", Stub(headers)))) == expected


def test_headers_with_a_name_that_is_not_utf8_are_unreadable() -> None:
    broken = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    for error in (SystemError("returned a result with an exception set"), broken):
        assert message_headers(cast("Message", Stub(error))) is UNREADABLE_HEADERS
