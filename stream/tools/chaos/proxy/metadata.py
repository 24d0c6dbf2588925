"""Removes the brokers from a metadata response.

Layout: MetadataResponse.json of Apache Kafka 4.3 (clients/src/main/resources/common/message), from version 3.
"""

from stream.tools.chaos.proxy.wire import Reader, Writer

_FLEXIBLE_FROM = 9


def without_brokers(frame: bytes, version: int) -> bytes:
    """Return the response with an empty list of brokers; everything else is unchanged."""
    reader = Reader(frame, 0, flexible=version >= _FLEXIBLE_FROM)
    reader.integer(4)  # correlation id
    reader.tags()
    reader.integer(4)  # throttle time
    start = reader.position
    reader.array(lambda: _skip_broker(reader))
    empty = Writer(flexible=version >= _FLEXIBLE_FROM)
    empty.array([], lambda _: None)
    return frame[:start] + empty.frame() + frame[reader.position :]


def _skip_broker(reader: Reader) -> None:
    reader.integer(4)  # node id
    reader.string()  # host
    reader.integer(4)  # port
    reader.string()  # rack
    reader.tags()
