"""Reads committed records: of the count topic, to restore stores; of any topic, for tools."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream.core.fold import Changes
from stream.core.processed_offset import has_processed_offset
from stream.core.records import Header
from stream.errors import Fatal, Retriable
from stream.kafka.clients import Admin, Options, make_consumer
from stream.kafka.failure import describe, from_call, kafka_error
from stream.kafka.headers import message_headers
from stream.kafka.offsets import Offsets, offset_ranges
from stream.ports import ChangelogChunk

METADATA_TIMEOUT_S = 2.0
FETCH_WAIT_MS = 20
SILENCE_S_MAX = 30.0  # without a record before the end of a topic: the broker is unavailable
RECORDS_MAX = 20_000  # in one read of the changelog
BATCH_RECORDS_MAX, PREFETCH_KIB = 2_000, 8 * 1024  # that `read_topic` holds in Python and in the client


class KafkaReader:
    """Reads several partitions of the changelog. It holds a consumer only while it reads a partition."""

    def __init__(self, options: Options, offsets: Offsets, topic: str) -> None:
        self._options = options
        self._offsets = offsets
        self._topic = topic
        self._consumer: Consumer | None = None
        self._position: dict[int, int] = {}

    def offset_range(self, partition: int) -> tuple[int, int]:
        """Return the first offset and the high watermark."""
        return self._offsets.range(self._topic, partition)

    def start(self, partition: int, offset: int) -> None:
        """Read this partition too, from `offset`."""
        if self._consumer is None:
            # A fetch waits for all its partitions; one at its end would delay those that start meanwhile.
            self._consumer = make_consumer({**self._options, "fetch.wait.max.ms": FETCH_WAIT_MS})
        self._position[partition] = offset
        self._consumer.incremental_assign([TopicPartition(self._topic, partition, offset)])

    def read(self, wait_s: float) -> Sequence[ChangelogChunk]:
        """Return new records, one chunk per partition."""
        if self._consumer is None:
            return []
        records: dict[int, list[Message]] = {}
        for partition, run in groupby(_read(self._consumer, RECORDS_MAX, wait_s), Message.partition):
            messages = list(run)
            # `map` over methods of the client runs in C: a Python call per record would dominate a restore.
            events = [m for m in messages if m.error()] if any(map(Message.error, messages)) else []
            positions = [after for each in events if (after := _position_after(each)[1]) is not None]
            if partition is None or partition not in self._position:
                continue
            taken = [m for m in messages if not m.error()] if events else messages
            if taken:
                positions.append(_position_after(taken[-1])[1] or 0)
            if positions:
                records.setdefault(partition, []).extend(taken)
                self._position[partition] = max(self._position[partition], *positions)
        return [_chunk(p, records[p], self._position[p]) for p in sorted(records)]

    def stop(self, partition: int) -> None:
        """Stop reading this partition."""
        if self._consumer is not None and self._position.pop(partition, None) is not None:
            if self._position:
                self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])
            else:
                self.close()

    def close(self) -> None:
        """Close; `start` opens again."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
        self._position.clear()


def _chunk(partition: int, messages: Sequence[Message], position: int) -> ChangelogChunk:
    last = dict(zip(map(Message.key, messages), map(Message.value, messages), strict=True))
    if None in last or None in last.values():  # a foreign record
        last = {key or b"": total or b"" for key, total in last.items()}
    processed_offset = _processed_offset_headers(messages)
    return ChangelogChunk(partition, cast("Changes", last), len(messages), processed_offset, position)


def _processed_offset_headers(messages: Sequence[Message]) -> Sequence[Header]:
    """Return the last headers that hold a processed offset."""
    try:
        with_headers = list(filter(Message.headers, messages))  # runs in C: most have none
    except (SystemError, UnicodeDecodeError):
        with_headers = list(messages)
    candidates = map(message_headers, reversed(with_headers))
    return next((headers for headers in candidates if has_processed_offset(headers)), ())


class StoredRecord(NamedTuple):
    """A committed record of any topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]
    timestamp_ms: int


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

    It ends at the offsets that are the end when it starts; with `follow`, when that returns False; with
    `ends` (partition -> offset) at those, and then it reads only their partitions. Partitions are read
    concurrently; within each one the records are in the order of the log.

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
    consumer = make_consumer({**options, "queued.max.messages.kbytes": PREFETCH_KIB, **waiting})
    try:
        consumer.assign([TopicPartition(topic, p, start_offsets[p]) for p in unfinished])
        last_received_at = time.monotonic()
        while unfinished if follow is None else follow():
            messages = _read(consumer, BATCH_RECORDS_MAX, 0.2)
            last_received_at = time.monotonic() if messages else last_received_at
            if follow is None and time.monotonic() - last_received_at > SILENCE_S_MAX:
                raise Retriable(f"{topic}: no record arrived for {SILENCE_S_MAX:.0f} s")
            for message in messages:
                partition, position = _position_after(message)
                is_within = follow is not None or (position or 0) <= ends.get(partition, 0)
                if message.error() is None and partition in unfinished and is_within:
                    yield _stored(message)
                if follow is None and position is not None and position >= ends[partition]:
                    unfinished.discard(partition)
    finally:
        consumer.close()


def partitions_of(admin: Admin, topic: str) -> list[int]:
    """Return the partitions of a topic.

    Raises:
        Retriable: the broker is unavailable.
        Refused: Kafka rejected the connection.
        Fatal: the topic is missing.
    """
    try:
        metadata = admin.list_topics(topic, METADATA_TIMEOUT_S).topics[topic]
    except KafkaException as error:
        raise (admin.denial() or from_call(kafka_error(error))) from error
    if metadata.error is not None:
        if metadata.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise Fatal(f"the topic {topic} does not exist; create it with: anagram-stream topics create")
        raise from_call(metadata.error)
    return sorted(metadata.partitions)


def _read(consumer: Consumer, records_max: int, wait_s: float) -> list[Message]:
    """Wait for one record, then take those that are buffered: `consume` alone waits for the whole number."""
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


def _position_after(message: Message) -> tuple[int, int | None]:
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


def _stored(message: Message) -> StoredRecord:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    stamp = message.timestamp()[1]
    return StoredRecord(
        topic, partition, offset, message.key(), message.value(), message_headers(message), stamp
    )
