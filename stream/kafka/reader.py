"""Committed records: of the count topic, for restore; of any topic, for results, totals and checks."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream.core.processed_offset import has_processed_offset
from stream.core.records import Header
from stream.errors import Fatal, Retriable
from stream.kafka.clients import Admin, Options, make_consumer
from stream.kafka.failure import describe, from_call, kafka_error
from stream.kafka.headers import message_headers
from stream.kafka.offsets import Offsets, offset_ranges
from stream.ports import ChangelogChunk, Changes

METADATA_S_MAX = 2.0
FETCH_WAIT_MS = 20
SILENCE_S_MAX = 30.0  # before the end of a topic: the broker went away
RECORDS_MAX = 20_000  # of one read of the changelog: one bounded step
YIELDED_MAX, AHEAD_KIB = 2_000, 8 * 1024  # what a reader of any topic holds, in Python and in the client


class KafkaReader:
    """The changelog, of several partitions at once. It has a consumer only while it has something to read."""

    def __init__(self, options: Options, offsets: Offsets, topic: str) -> None:
        self._options = options
        self._offsets = offsets
        self._topic = topic
        self._consumer: Consumer | None = None
        self._position: dict[int, int] = {}

    def offset_range(self, partition: int) -> tuple[int, int]:
        """Return first offset and high watermark."""
        return self._offsets.range(self._topic, partition)

    def start(self, partition: int, offset: int) -> None:
        """Read this partition, too, from `offset`."""
        if self._consumer is None:
            # A fetch waits for all its partitions; one at its end would hold up those that start meanwhile.
            self._consumer = make_consumer({**self._options, "fetch.wait.max.ms": FETCH_WAIT_MS})
        self._position[partition] = offset
        self._consumer.incremental_assign([TopicPartition(self._topic, partition, offset)])

    def read(self, wait_s: float) -> Sequence[ChangelogChunk]:
        """Return what came, a chunk a partition."""
        if self._consumer is None:
            return []
        records: dict[int, list[Message]] = {}
        for partition, run in groupby(_read(self._consumer, RECORDS_MAX, wait_s), Message.partition):
            messages = list(run)
            # By C alone, where a call of ours for each record would be what restore waits for.
            events = [m for m in messages if m.error()] if any(map(Message.error, messages)) else []
            reached = [at for each in events if (at := _position_after(each)[1]) is not None]
            if partition is None or partition not in self._position:
                continue
            taken = [m for m in messages if not m.error()] if events else messages
            if taken:
                reached.append(_position_after(taken[-1])[1] or 0)
            if reached:
                records.setdefault(partition, []).extend(taken)
                self._position[partition] = max(self._position[partition], *reached)
        return [_chunk(p, records[p], self._position[p]) for p in sorted(records)]

    def stop(self, partition: int) -> None:
        """Read this partition no more."""
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
    if None in last or None in last.values():  # nothing of ours
        last = {key or b"": total or b"" for key, total in last.items()}
    return ChangelogChunk(partition, cast("Changes", last), len(messages), _bookmark(messages), position)


def _bookmark(messages: Sequence[Message]) -> Sequence[Header]:
    """Return the last headers that are a processed_offset's."""
    try:
        few = list(filter(Message.headers, messages))  # by C alone: most have none
    except (SystemError, UnicodeDecodeError):
        few = list(messages)
    marks = (headers for each in reversed(few) if has_processed_offset(headers := message_headers(each)))
    return next(marks, ())


class StoredRecord(NamedTuple):
    """A committed record of any topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]
    timestamp_ms: int


def read_topic(  # noqa: PLR0913 - what is read, from where to where
    options: Options,
    admin: Admin,
    topic: str,
    *,
    start: dict[int, int] | None = None,
    follow: Callable[[], bool] | None = None,
    ends: Mapping[int, int] | None = None,
) -> Iterator[StoredRecord]:
    """Yield the committed records of a topic from its beginning, or from `start` (partition -> offset).

    It ends at what was the end when it began, or with `follow`, when that returns false, or at `ends`,
    and reads only the partitions named there. Partitions are read side by side; within each the order is
    the log's.

    Raises:
        Retriable: the broker is away.
        Fatal: the topic is missing.
    """
    partitions = partitions_of(admin, topic) if ends is None else sorted(ends)
    ranges = offset_ranges(admin, topic, partitions, stable=True)
    if ends is None:
        ends = {p: end for p, (_, end) in ranges.items()}
    # As numbers: the client's own lookup of a beginning takes it half a second.
    begin = {p: first for p, (first, _) in ranges.items()} | (start or {})
    left = {p for p in partitions if ends[p] > begin[p]} if follow is None else set(partitions)
    if not left:
        return
    waiting = {} if follow is not None else {"fetch.wait.max.ms": FETCH_WAIT_MS}  # the end is told by a fetch
    consumer = make_consumer({**options, "queued.max.messages.kbytes": AHEAD_KIB, **waiting})
    try:
        consumer.assign([TopicPartition(topic, p, begin[p]) for p in left])
        heard = time.monotonic()
        while left if follow is None else follow():
            messages = _read(consumer, YIELDED_MAX, 0.2)
            heard = time.monotonic() if messages else heard
            if follow is None and time.monotonic() - heard > SILENCE_S_MAX:
                raise Retriable(f"{topic}: nothing came for {SILENCE_S_MAX:.0f} s")
            for message in messages:
                partition, position = _position_after(message)
                is_within = follow is not None or (position or 0) <= ends.get(partition, 0)
                if message.error() is None and partition in left and is_within:
                    yield _stored(message)
                if follow is None and position is not None and position >= ends[partition]:
                    left.discard(partition)
    finally:
        consumer.close()


def partitions_of(admin: Admin, topic: str) -> list[int]:
    """Return the partitions of a topic.

    Raises:
        Retriable: the broker is away.
        Refused: it does not let us in.
        Fatal: the topic is missing.
    """
    try:
        found = admin.list_topics(topic, METADATA_S_MAX).topics[topic]
    except KafkaException as error:
        raise (admin.denial() or from_call(kafka_error(error))) from error
    if found.error is not None:
        if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise Fatal(f"there is no topic {topic}; create it with: anagram-stream topics create")
        raise from_call(found.error)
    return sorted(found.partitions)


def _read(consumer: Consumer, records_max: int, wait_s: float) -> list[Message]:
    """Wait for one record, then take what is there: `consume` alone waits until the whole number came."""
    try:
        first = consumer.poll(wait_s)
    except KafkaException as error:
        raise from_call(kafka_error(error)) from error
    if first is None:
        return []
    try:
        return [first, *consumer.consume(records_max - 1, 0)]
    except KafkaException as error:  # what it had in hand is lost to us
        raise Fatal(f"records were lost on the way to us: {describe(kafka_error(error))}") from error


def _position_after(message: Message) -> tuple[int, int | None]:
    """Return partition and the position after the message; None for an event that moves nothing.

    The event of a partition's end carries the position itself, which counts markers.
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
            f"{message.topic()}, partition {partition}: the log was cut while it was read: {describe(error)}"
        )
    failure = from_call(error)
    if isinstance(failure, Retriable):
        return -1, None  # librdkafka goes on by itself
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
