"""Changes which replica of each partition is its preferred leader.

librdkafka has no AlterPartitionReassignments, so this sends the request itself. Layout: version 0 of
AlterPartitionReassignmentsRequest.json of Apache Kafka 4.4 (clients/src/main/resources/common/message).
"""

import socket
from collections.abc import Mapping, Sequence

from stream.errors import Retriable
from stream.tools.chaos.proxy.wire import Reader, Writer

Replicas = Mapping[str, Mapping[int, Sequence[int]]]  # topic -> partition -> node ids
REQUEST_S_MAX = 10.0
_API, _CORRELATION_ID = 45, 1


def with_next_leaders(replicas: Replicas, nodes: int) -> dict[str, dict[int, list[int]]]:
    """Return the replicas with the next node first: every node leads as many partitions as before."""
    return {
        topic: {
            partition: sorted(each, key=lambda node: (node - each[0] - 1) % nodes)
            for partition, each in partitions.items()
        }
        for topic, partitions in replicas.items()
    }


def reorder_replicas(address: str, replicas: Replicas) -> None:
    """Set the order of the replicas of each partition; the first one is the preferred leader.

    Raises:
        Retriable: the broker at this address (`host:port`) did not set it.
    """
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), REQUEST_S_MAX) as connection:
            frame = reassignment_request(replicas)
            connection.sendall(len(frame).to_bytes(4) + frame)
            response = connection.makefile("rb")
            body = response.read(int.from_bytes(response.read(4)))
    except OSError as error:
        raise Retriable(f"{address}: {error}") from error
    if codes := {code for code in reassignment_errors(body) if code}:
        raise Retriable(f"{address}: the order of replicas was rejected with error codes {sorted(codes)}")


def reassignment_request(replicas: Replicas) -> bytes:
    """Return the request, without the length that precedes it."""
    writer = Writer(flexible=True)

    def write_partition(partition: tuple[int, Sequence[int]]) -> None:
        writer.integer(partition[0], 4)
        writer.array(partition[1], lambda node: writer.integer(node, 4))
        writer.tags()

    def write_topic(topic: tuple[str, Mapping[int, Sequence[int]]]) -> None:
        writer.string(topic[0].encode())
        writer.array(list(topic[1].items()), write_partition)
        writer.tags()

    for number, size in ((_API, 2), (0, 2), (_CORRELATION_ID, 4), (-1, 2)):  # the last one: no client id
        writer.integer(number, size)
    writer.tags()
    writer.integer(int(REQUEST_S_MAX * 1000), 4)
    writer.array(list(replicas.items()), write_topic)
    writer.tags()
    return writer.frame()


def reassignment_errors(frame: bytes) -> list[int]:
    """Return the error codes of a response: that of the request, then those of the partitions."""
    reader = Reader(frame, 4, flexible=True)
    reader.tags()
    reader.integer(4)  # throttle time, ms
    codes = [reader.integer(2)]
    reader.string()

    def read_partition() -> None:
        reader.integer(4)
        codes.append(reader.integer(2))
        reader.string()
        reader.tags()

    def read_topic() -> None:
        reader.string()
        reader.array(read_partition)
        reader.tags()

    reader.array(read_topic)
    return codes
