"""The headers of a message, as the core has them."""

from collections.abc import Sequence

from confluent_kafka import Message

from stream.core.records import UNREADABLE_HEADERS, Header


def message_headers(message: Message) -> Sequence[Header]:
    """Return a message's headers, in order, as bytes."""
    try:
        found = message.headers()
    except (SystemError, UnicodeDecodeError):  # a name that is not UTF-8
        return UNREADABLE_HEADERS
    if not found:
        return ()
    pairs = found.items() if isinstance(found, dict) else found
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in pairs]
