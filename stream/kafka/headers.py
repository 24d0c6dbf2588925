"""Converts the headers of a message to the types of the core."""

from collections.abc import Sequence

from confluent_kafka import Message

from stream.core.records import UNREADABLE_HEADERS, Header


def message_headers(message: Message) -> Sequence[Header]:
    """Return a message's headers, in order, as bytes."""
    try:
        headers = message.headers()
    except (SystemError, UnicodeDecodeError):  # a name is not UTF-8
        return UNREADABLE_HEADERS
    if not headers:
        return ()
    pairs = headers.items() if isinstance(headers, dict) else headers
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in pairs]
