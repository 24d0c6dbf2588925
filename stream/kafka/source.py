"""The input topic, as one member of the consumer group: batches, positions, rewind."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, repeat
from operator import itemgetter

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from stream.core.records import InputRecord, first_offsets
from stream.core.resume import START_OVER
from stream.errors import Fatal, Refused, Retriable, StreamError
from stream.kafka.clients import Options, make_consumer
from stream.kafka.failure import CALL_FAILED, describe, from_call, kafka_error
from stream.kafka.headers import message_headers
from stream.kafka.offsets import Offsets
from stream.kafka.positions import Positions
from stream.ports import AssignmentListener, Batch, CommittedOffset

COUNTED = "counted"  # the metadata of a committed offset with totals behind it
COMMITTED_S = 0.25  # how long a turn waits for offsets to become stable; longer each time, up to
COMMITTED_S_MAX = 4.0
END_S_MAX, END_AGAIN_S = 30.0, 0.2  # of a lookup within a rebalance; where it fails a restart heals
_TYPICAL_BYTES = 1024
FETCHED_S = 0.01  # how long who is behind waits for more: what is fetched ahead is less than a batch
CONSUMED_MAX = 1_000  # records: what one call to librdkafka returns is in memory twice while we take it


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How large a batch may grow, and how long it is gathered."""

    records_max: int
    bytes_max: int
    interval_s: float


class KafkaSource:
    """One member of the group."""

    def __init__(self, options: Options, offsets: Offsets, topic: str, limits: BatchLimits) -> None:
        self._consumer: Consumer = make_consumer(options)
        self._offsets = offsets
        self._topic = topic
        self._limits = limits
        self._listener: AssignmentListener | None = None
        self._at = Positions()
        self._committed_s = COMMITTED_S
        self._gathered = 0.0  # when the last batch began
        self._record_bytes = _TYPICAL_BYTES

    def subscribe(self, listener: AssignmentListener) -> None:
        """Join the group."""
        self._listener = listener
        try:
            self._consumer.subscribe(
                [self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
            )
        except KafkaException as error:
            raise from_call(kafka_error(error)) from error

    def poll_batch(self, wait_s: float) -> Batch:
        """Return a batch: what arrives within the commit interval, counted from the start of the last one.

        A record that comes after a quiet time is therefore returned at once, with what came with it.
        """
        self._seek_all()
        records: list[InputRecord] = []
        try:
            group, behind = self._fill(records, wait_s)
        except StreamError:
            # What the client had in hand is gone with the error, and what we have is not returned.
            self.rewind(dict(self._at.position) | first_offsets(records))
            raise
        if not all(map(self._at.position.__contains__, {record.partition for record in records})):
            records = [record for record in records if record.partition in self._at.position]
        return Batch(records, group, behind)

    def _fill(self, records: list[InputRecord], wait_s: float) -> tuple[object, bool]:
        """Fill a batch; return the group's metadata that it is of, and whether we are behind."""
        group = self._consumer.consumer_group_metadata()
        first = self._poll(0.0)
        waited = first is None
        if first is None and wait_s:
            group = self._consumer.consumer_group_metadata()
            first = self._poll(wait_s)
        if first is None:
            return group, False
        size = self._take([first], records)
        now = time.monotonic()
        due = self._gathered + self._limits.interval_s
        behind = not waited and now >= due
        due = self._gathered = max(now, due)
        while len(records) < self._limits.records_max and size < self._limits.bytes_max:
            room = max(1, (self._limits.bytes_max - size) // self._record_bytes)
            asked = min(CONSUMED_MAX, room, self._limits.records_max - len(records))
            messages = self._consume(asked, max(FETCHED_S if behind else 0.0, due - time.monotonic()))
            size += self._take(messages, records)
            if len(messages) < asked and time.monotonic() >= due:
                break
        if records:
            self._record_bytes = max(1, size // len(records))
        return group, behind

    def committed(self, partitions: Sequence[int]) -> Mapping[int, CommittedOffset | None]:
        """Return the group's stable committed offsets: a read_committed consumer is given no others."""
        try:
            found = self._consumer.committed(
                [TopicPartition(self._topic, partition) for partition in partitions], self._committed_s
            )
        except KafkaException as error:
            self._committed_s = min(
                COMMITTED_S_MAX, 2 * self._committed_s
            )  # the broker may be slow, not away
            raise from_call(kafka_error(error)) from error
        self._committed_s = COMMITTED_S
        offsets: dict[int, CommittedOffset | None] = {}
        for at in found:
            if at.error is not None:
                raise from_call(at.error)
            none = at.offset == OFFSET_INVALID
            offsets[at.partition] = None if none else CommittedOffset(at.offset, at.metadata == COUNTED)
        return offsets

    def offset_range(self, partition: int) -> tuple[int, int]:
        """Return the first offset and the high watermark of the input partition."""
        return self._offsets.range(self._topic, partition)

    def start(self, partition: int, offset: int) -> None:
        """Begin or go on to deliver an assigned partition from `offset`."""
        at = TopicPartition(self._topic, partition, offset)
        try:
            self._consumer.seek(at)
            self._consumer.resume([at])
        except KafkaException as error:
            raise from_call(kafka_error(error)) from error
        self._at.start(partition, offset)

    def stop(self, partition: int) -> None:
        """Deliver nothing of this partition until `start`."""
        self._at.drop(partition)  # which is what counts; the pause only saves the fetching
        with contextlib.suppress(KafkaException):
            self._consumer.pause([TopicPartition(self._topic, partition)])

    def rewind(self, offsets: Mapping[int, int]) -> None:
        """Deliver these partitions again from these offsets."""
        self._at.rewind(offsets)
        self._seek_all()

    def close(self) -> None:
        """Leave the group."""
        self._listener = None
        self._at.position.clear()
        self._consumer.close()

    def _poll(self, wait_s: float) -> Message | None:
        try:
            return self._consumer.poll(wait_s)
        except CALL_FAILED as error:
            raise from_call(kafka_error(error)) from error

    def _consume(self, records_max: int, wait_s: float) -> list[Message]:
        try:
            return self._consumer.consume(records_max, wait_s)
        except CALL_FAILED as error:
            raise from_call(kafka_error(error)) from error

    def _take(self, messages: Sequence[Message], records: list[InputRecord]) -> int:
        """Append the records that are due; return their bytes."""
        size = 0
        for partition, run in groupby(messages, Message.partition):
            due = list(run)
            # By C alone: a call of ours for each record would be a good part of what a worker does.
            if any(map(Message.error, due)):
                for message in due:
                    if (error := message.error()) is not None:
                        self._complain(error, message)
                due = [message for message in due if message.error() is None]
            due = self._at.take(partition, due)
            if not due:
                continue
            keys, values = list(map(Message.key, due)), list(map(Message.value, due))
            size += sum(map(len, filter(None, keys))) + sum(map(len, filter(None, values)))
            stamps = map(itemgetter(1), map(Message.timestamp, due))
            columns = (
                repeat(self._topic), repeat(partition), map(Message.offset, due),
                keys, values, map(message_headers, due), stamps,
            )  # fmt: skip
            records.extend(map(InputRecord._make, zip(*columns, strict=False)))
        return size

    def _complain(self, error: KafkaError, message: Message) -> None:
        """Raise what a consumer's event means; nothing, where it heals by itself."""
        code = error.code()
        at = message.partition()
        partition = -1 if at is None else at
        if code in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:  # noqa: SLF001
            if partition not in self._at.position:
                return
            raise Refused(
                f"{self._topic}, partition {partition}: offset {self._at.position[partition]} is not in the "
                f"log any more (retention, or the topic was made anew): {describe(error)}",
                f"restart the worker to see what is lost and how to go on, or {START_OVER}",
            )
        if code == KafkaError._MAX_POLL_EXCEEDED:  # noqa: SLF001 - `lost` follows
            return
        if code in {KafkaError._BAD_MSG, KafkaError._BAD_COMPRESSION}:  # noqa: SLF001
            raise Fatal(
                f"{self._topic}, partition {partition}: a damaged record at or after offset "
                f"{self._at.position.get(partition)}: {describe(error)}"
            )
        failure: StreamError = from_call(error)
        if isinstance(failure, Retriable):
            return  # librdkafka goes on by itself; a broker that stays away shows elsewhere
        raise failure

    def _seek_all(self) -> None:
        for partition, offset in list(self._at.seek.items()):
            try:
                self._consumer.seek(TopicPartition(self._topic, partition, offset))
            except KafkaException as error:
                if isinstance(failure := from_call(kafka_error(error)), Retriable):
                    continue  # not settled; until it is, nothing of the partition is delivered
                raise failure from error
            del self._at.seek[partition]

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # At the end of the log, and paused: nothing is fetched until restore has said where to begin. The end
        # as a number: the client's own lookup, when it is answered late, moves a consumer on that was sent
        # elsewhere meanwhile (records were skipped).
        for at in partitions:
            at.offset = self._end(at.partition)
        try:
            consumer.incremental_assign(partitions)
            consumer.pause(partitions)
        except KafkaException as error:
            raise Fatal(f"the assignment could not be taken: {describe(kafka_error(error))}") from error
        for at in partitions:
            self._at.drop(at.partition)
        if self._listener is not None:
            self._listener.assigned([at.partition for at in partitions])

    def _end(self, partition: int) -> int:
        deadline = time.monotonic() + END_S_MAX
        while True:
            try:
                return self._offsets.range(self._topic, partition)[1]
            except Retriable as why:
                if time.monotonic() >= deadline:
                    raise Fatal(f"the assignment could not be taken: {why}") from why
                time.sleep(END_AGAIN_S)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._release(consumer, partitions)
        if self._listener is not None:
            self._listener.revoked([at.partition for at in partitions])

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._release(consumer, partitions)
        if self._listener is not None:
            self._listener.lost([at.partition for at in partitions])

    def _release(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for at in partitions:
            self._at.drop(at.partition)
        consumer.incremental_unassign(partitions)
