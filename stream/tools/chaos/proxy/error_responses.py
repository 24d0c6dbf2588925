"""Builds an error response to a request, in place of the broker's response.

Layouts are those of the message definitions of Apache Kafka 4.3 (clients/src/main/resources/common/message).
"""

from collections.abc import Callable

from stream.tools.chaos.proxy.rules import Api
from stream.tools.chaos.proxy.wire import Reader, RequestHeader, Writer

_Partitions = tuple[bytes, list[int]]
_Body = Callable[[RequestHeader, Reader, Writer, int], None]


def error_response(header: RequestHeader, frame: bytes, code: int) -> bytes:
    """Return the response, without the length that precedes it.

    Raises:
        NotImplementedError: this request, or this version of it, is not supported here.
    """
    name = Api(header.api).name
    if header.api not in _BODIES:
        raise NotImplementedError(f"{name} has no error response here")
    flexible_from, (lowest, highest), body = _BODIES[Api(header.api)]
    if not lowest <= header.version <= highest:
        raise NotImplementedError(f"{name}: version {header.version} is not one of {lowest} to {highest}")
    flexible = header.version >= flexible_from
    reader, writer = Reader(frame, header.end, flexible=flexible), Writer(flexible=flexible)
    reader.tags()
    writer.integer(header.correlation_id, 4)
    writer.tags()
    body(header, reader, writer, code)
    return writer.frame()


def _init_producer_id(_: RequestHeader, _reader: Reader, writer: Writer, code: int) -> None:
    _throttle_and_error(writer, code)
    writer.integer(-1, 8)
    writer.integer(-1, 2)
    writer.tags()


def _add_offsets_to_txn(_: RequestHeader, _reader: Reader, writer: Writer, code: int) -> None:
    _throttle_and_error(writer, code)
    writer.tags()


def _end_txn(header: RequestHeader, _: Reader, writer: Writer, code: int) -> None:
    _throttle_and_error(writer, code)
    if header.version >= 5:  # noqa: PLR2004 - KIP-890: the next epoch
        writer.integer(-1, 8)
        writer.integer(-1, 2)
    writer.tags()


def _heartbeat(header: RequestHeader, _: Reader, writer: Writer, code: int) -> None:
    if header.version >= 1:
        writer.integer(0, 4)
    writer.integer(code, 2)
    writer.tags()


def _consumer_group_heartbeat(_: RequestHeader, _reader: Reader, writer: Writer, code: int) -> None:
    _throttle_and_error(writer, code)
    writer.string(None)  # message
    writer.string(None)  # member id
    writer.integer(0, 4)  # member epoch
    writer.integer(500, 4)  # heartbeat interval, ms
    writer.integer(-1, 1)  # no assignment
    writer.tags()


def _fetch(_: RequestHeader, _reader: Reader, writer: Writer, code: int) -> None:
    _throttle_and_error(writer, code)
    writer.integer(0, 4)  # session
    writer.array((), lambda _: None)
    writer.tags()


def _txn_offset_commit(header: RequestHeader, reader: Reader, writer: Writer, code: int) -> None:
    reader.string()  # transactional id
    reader.string()  # group
    reader.raw(8 + 2)  # producer id and epoch
    if header.version >= 3:  # noqa: PLR2004 - KIP-447: the membership
        reader.raw(4)
        reader.string()
        reader.string()

    def read_partition() -> int:
        index = reader.integer(4)
        reader.raw(8)  # offset
        if header.version >= 2:  # noqa: PLR2004
            reader.raw(4)  # leader epoch
        reader.string()  # metadata
        reader.tags()
        return index

    def read_topic() -> _Partitions:
        name, partitions = reader.string() or b"", reader.array(read_partition)
        reader.tags()
        return name, partitions

    def write_partition(index: int) -> None:
        writer.integer(index, 4)
        writer.integer(code, 2)
        writer.tags()

    def write_topic(topic_partitions: _Partitions) -> None:
        writer.string(topic_partitions[0])
        writer.array(topic_partitions[1], write_partition)
        writer.tags()

    topics = reader.array(read_topic)
    writer.integer(0, 4)  # throttle time, ms
    writer.array(topics, write_topic)
    writer.tags()


def _produce(header: RequestHeader, reader: Reader, writer: Writer, code: int) -> None:
    by_id = header.version >= 13  # noqa: PLR2004 - KIP-516: topic ids
    reader.string()  # transactional id
    reader.raw(2 + 4)  # acks, timeout

    def read_partition() -> int:
        index = reader.integer(4)
        reader.skip_bytes()
        reader.tags()
        return index

    def read_topic() -> _Partitions:
        name = reader.raw(16) if by_id else reader.string() or b""
        partitions = reader.array(read_partition)
        reader.tags()
        return name, partitions

    def write_partition(index: int) -> None:
        writer.integer(index, 4)
        writer.integer(code, 2)
        writer.integer(-1, 8)  # base offset
        writer.integer(-1, 8)  # append time
        if header.version >= 5:  # noqa: PLR2004
            writer.integer(-1, 8)  # log start offset
        if header.version >= 8:  # noqa: PLR2004
            writer.array((), lambda _: None)  # record errors
            writer.string(None)  # message
        writer.tags()

    def write_topic(topic_partitions: _Partitions) -> None:
        (writer.raw if by_id else writer.string)(topic_partitions[0])
        writer.array(topic_partitions[1], write_partition)
        writer.tags()

    writer.array(reader.array(read_topic), write_topic)
    writer.integer(0, 4)  # throttle time, ms
    writer.tags()


def _throttle_and_error(writer: Writer, code: int) -> None:
    writer.integer(0, 4)  # throttle time, ms
    writer.integer(code, 2)


_BODIES: dict[Api, tuple[int, tuple[int, int], _Body]] = {
    # the first flexible version, and the range of versions that are supported here
    Api.PRODUCE: (9, (3, 13), _produce),
    Api.FETCH: (12, (7, 18), _fetch),
    Api.HEARTBEAT: (4, (0, 4), _heartbeat),
    Api.INIT_PRODUCER_ID: (2, (0, 5), _init_producer_id),
    Api.ADD_OFFSETS_TO_TXN: (3, (0, 4), _add_offsets_to_txn),
    Api.END_TXN: (3, (0, 5), _end_txn),
    Api.TXN_OFFSET_COMMIT: (3, (0, 5), _txn_offset_commit),
    Api.CONSUMER_GROUP_HEARTBEAT: (0, (0, 1), _consumer_group_heartbeat),
}
