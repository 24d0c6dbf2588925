"""Reads committed records of the count topic, to restore stores."""

from collections.abc import Sequence
from itertools import groupby
from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream.core.fold import Changes
from stream.core.processed_offset import PROCESSED_KEY, has_processed_offset
from stream.core.records import Header
from stream.errors import Fatal, Retriable
from stream.kafka.clients import Options, make_consumer
from stream.kafka.connection import Connection
from stream.kafka.failure import describe, from_call, kafka_error
from stream.kafka.headers import message_headers
from stream.kafka.offsets import Offsets
from stream.ports import ChangelogChunk

FETCH_WAIT_MS = 20
RECORDS_MAX = 20_000  # in one read of the changelog


class KafkaReader:
    """Reads several partitions of the changelog. It has a consumer only while it reads a partition."""

    def __init__(self, options: Options, offsets: Offsets, topic: str) -> None:
        self._options = options
        self._offsets = offsets
        self._topic = topic
        self._consumer: Consumer | None = None
        self._connection = Connection(topic)
        self._position: dict[int, int] = {}

    def offset_range(self, partition: int) -> tuple[int, int]:
        return self._offsets.range(self._topic, partition)

    def start(self, partition: int, offset: int) -> None:
        if self._consumer is None:
            # A fetch waits for all its partitions: one at its end would delay those that start meanwhile.
            self._consumer = make_consumer({**self._options, "fetch.wait.max.ms": FETCH_WAIT_MS})
            self._connection = Connection(self._topic)
        self._position[partition] = offset
        self._consumer.incremental_assign([TopicPartition(self._topic, partition, offset)])

    def read(self, wait_s: float) -> Sequence[ChangelogChunk]:
        """Return new records, one chunk per partition."""
        if self._consumer is None:
            return []
        if self._connection.is_lost(self._consumer):
            unread = dict(self._position)
            self.close()
            for partition_number, offset in unread.items():
                self.start(partition_number, offset)
        records: dict[int, list[Message]] = {}
        for partition, run in groupby(read_messages(self._consumer, RECORDS_MAX, wait_s), Message.partition):
            messages = list(run)
            # `map` over methods of the client runs in C: a Python call per record would dominate a restore.
            events = [m for m in messages if m.error()] if any(map(Message.error, messages)) else []
            positions = [after for each in events if (after := position_after(each)[1]) is not None]
            if partition is None or partition not in self._position:
                continue
            taken = [m for m in messages if not m.error()] if events else messages
            if taken:
                positions.append(position_after(taken[-1])[1] or 0)
            if positions:
                records.setdefault(partition, []).extend(taken)
                self._position[partition] = max(self._position[partition], *positions)
        return [_chunk(p, records[p], self._position[p]) for p in sorted(records)]

    def stop(self, partition: int) -> None:
        if self._consumer is not None and self._position.pop(partition, None) is not None:
            if self._position:
                self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])
            else:
                self.close()

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
        self._position.clear()


def changes_of(messages: Sequence[Message]) -> Changes:
    """Return the last value of each key, without the worker's own key."""
    last = dict(zip(map(Message.key, messages), map(Message.value, messages), strict=True))
    last.pop(PROCESSED_KEY, None)
    if None in last or None in last.values():  # no worker wrote this record
        last = {key or b"": total or b"" for key, total in last.items()}
    return cast("Changes", last)


def _chunk(partition: int, messages: Sequence[Message], position: int) -> ChangelogChunk:
    changes, processed_offset = changes_of(messages), processed_offset_headers(messages)
    end = (messages[-1].offset() or 0) + 1 if messages else 0
    return ChangelogChunk(partition, changes, len(messages), processed_offset, position, end)


def processed_offset_headers(messages: Sequence[Message]) -> Sequence[Header]:
    """Return the last headers that contain a processed offset."""
    try:
        with_headers = list(filter(Message.headers, messages))  # runs in C: few have headers
    except (SystemError, UnicodeDecodeError):
        with_headers = list(messages)
    candidates = map(message_headers, reversed(with_headers))
    return next((headers for headers in candidates if has_processed_offset(headers)), ())


def read_messages(consumer: Consumer, records_max: int, wait_s: float) -> list[Message]:
    """Wait for one record, then take the buffered ones: `consume` alone waits for the full number."""
    try:
        first = consumer.poll(wait_s)
    except KafkaException as error:
        raise from_call(kafka_error(error)) from error
    if first is None:
        return []
    try:
        return [first, *consumer.consume(records_max - 1, 0)]
    except KafkaException as error:  # the records that `consume` had taken are lost
        raise Fatal(f"the client lost records that it had fetched: {describe(kafka_error(error))}") from error


def position_after(message: Message) -> tuple[int, int | None]:
    """Return the partition and the position after the message; None for an event without a position.

    The event at the end of a partition carries the position itself, which includes markers.
    """
    error, partition, offset = message.error(), message.partition(), message.offset()
    if error is None:
        assert partition is not None
        assert offset is not None
        return partition, offset + 1
    if error.code() == KafkaError._PARTITION_EOF and partition is not None:  # noqa: SLF001
        return partition, offset
    if error.code() in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:  # noqa: SLF001
        raise Fatal(
            f"{message.topic()}, partition {partition}: the log was truncated while it was read: "
            f"{describe(error)}"
        )
    failure = from_call(error)
    if isinstance(failure, Retriable):
        return -1, None  # librdkafka retries by itself
    raise failure
