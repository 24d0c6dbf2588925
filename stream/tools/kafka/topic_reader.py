"""Reads the committed records of a topic, for tools."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from confluent_kafka import Message, TopicPartition

from stream.core.records import Header
from stream.errors import Retriable
from stream.kafka.clients import Admin, Options, make_consumer
from stream.kafka.connection import Connection
from stream.kafka.headers import message_headers
from stream.kafka.offsets import offset_ranges, partitions_of
from stream.kafka.reader import FETCH_WAIT_MS, position_after, read_messages

SILENCE_S_MAX = 30.0  # without a record before the end of a topic: the broker is unavailable
BATCH_RECORDS_MAX, PREFETCH_KIB = 2_000, 8 * 1024  # held in Python and in the client


class StoredRecord(NamedTuple):
    """A committed record of any topic; `leader_epoch` is -1 if unknown."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]
    timestamp_ms: int
    leader_epoch: int = -1


def read_topic(  # noqa: PLR0913 - what to read, from where, up to where
    options: Options,
    admin: Admin,
    topic: str,
    *,
    start: dict[int, int] | None = None,
    follow: Callable[[], bool] | None = None,
    ends: Mapping[int, int] | None = None,
) -> Iterator[StoredRecord]:
    """Yield the committed records of a topic from its beginning, or from `start` (partition -> offset).

    It stops at the end offsets that it reads first; with `follow`, when that returns False; with `ends`
    (partition -> offset), at those, and then it reads only their partitions. Partitions are read
    concurrently; the records of each are in log order.

    Raises:
        Retriable: the broker is unavailable.
        Fatal: the topic is missing.
    """
    partitions = partitions_of(admin, topic) if ends is None else sorted(ends)
    ranges = offset_ranges(admin, topic, partitions, stable=True)
    if ends is None:
        ends = {p: end for p, (_, end) in ranges.items()}
    # As numbers: the client's own lookup of a first offset takes half a second.
    start_offsets = {p: first for p, (first, _) in ranges.items()} | (start or {})
    unfinished = {p for p in partitions if ends[p] > start_offsets[p]} if follow is None else set(partitions)
    if not unfinished:
        return
    # Only a fetch reports the end of a partition, so it must not wait for more records.
    waiting = {} if follow is not None else {"fetch.wait.max.ms": FETCH_WAIT_MS}
    consumer = _AssignedConsumer({**options, **waiting}, topic, {p: start_offsets[p] for p in unfinished})
    try:
        last_received_at = time.monotonic()
        while unfinished if follow is None else follow():
            messages = consumer.read()
            last_received_at = time.monotonic() if messages else last_received_at
            if follow is None and time.monotonic() - last_received_at > SILENCE_S_MAX:
                raise Retriable(f"{topic}: no record arrived for {SILENCE_S_MAX:.0f} s")
            for message in messages:
                partition, position = position_after(message)
                is_within = follow is not None or (position or 0) <= ends.get(partition, 0)
                if message.error() is None and partition in unfinished and is_within:
                    yield stored_record(message)
                if follow is None and position is not None and position >= ends[partition]:
                    unfinished.discard(partition)
    finally:
        consumer.close()


class _AssignedConsumer:
    """A consumer of given partitions; if it loses its brokers for good, it is replaced at its positions."""

    def __init__(self, options: Options, topic: str, positions: dict[int, int]) -> None:
        self._options = {**options, "queued.max.messages.kbytes": PREFETCH_KIB}
        self._topic = topic
        self._positions = positions
        self._connection = Connection(topic)
        self._open()

    def read(self) -> Sequence[Message]:
        messages = read_messages(self._consumer, BATCH_RECORDS_MAX, 0.2)
        if not messages and self._connection.is_lost(self._consumer):
            self.close()
            self._open()
        for message in messages:
            partition, position = position_after(message)
            if position is not None:
                self._positions[partition] = position
        return messages

    def close(self) -> None:
        self._consumer.close()

    def _open(self) -> None:
        self._consumer = make_consumer(self._options)
        assigned = [TopicPartition(self._topic, p, offset) for p, offset in self._positions.items()]
        self._consumer.assign(assigned)


def stored_record(message: Message) -> StoredRecord:
    """Convert a message that is not an error to a record."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    epoch = message.leader_epoch()
    return StoredRecord(
        topic,
        partition,
        offset,
        message.key(),
        message.value(),
        message_headers(message),
        message.timestamp()[1],
        -1 if epoch is None else epoch,
    )
