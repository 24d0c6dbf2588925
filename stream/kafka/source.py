"""The input topic, as one member of the consumer group: batches, positions, rewind."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import NoReturn, TypeVar

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from stream.core.evidence import CommittedOffset
from stream.errors import Fatal, Fenced, Retriable, StreamError
from stream.kafka.clients import Options, make_consumer
from stream.kafka.connection import Connection
from stream.kafka.consumer_events import check_event
from stream.kafka.failure import CALL_FAILED, describe, from_call, kafka_error
from stream.kafka.input_records import BatchLimits, Gathered
from stream.kafka.leaving import leave_group
from stream.kafka.membership import Membership
from stream.kafka.offsets import Offsets, committed_by, wait_for_end
from stream.kafka.pace import Pace
from stream.kafka.positions import Positions
from stream.ports import AssignmentListener, Batch

T = TypeVar("T")
COMMITTED_S = 0.25  # how long one request waits for stable offsets; doubled after each failure
COMMITTED_S_MAX = 4.0
_TYPICAL_BYTES = 1024
FETCH_WAIT_S = 0.01  # with a backlog: records fetched ahead are fewer than a batch, so wait for more
FEW = 1_000  # up to this many records per batch, sleep while they arrive: each arrival would wake the thread
CONSUMED_MAX = 1_000  # records per call to librdkafka: they are in memory twice while they are converted


class KafkaSource:
    """One member of the group."""

    def __init__(  # noqa: PLR0913 - what a member of a group needs
        self,
        options: Options,
        offsets: Offsets,
        topic: str,
        limits: BatchLimits,
        membership: Membership | None = None,
        *,
        stays: bool = False,
    ) -> None:
        """`membership` detects partitions that no member reads; None disables the check.

        `stays`: a member with a `group.instance.id` keeps its partitions for a session after `close`.
        """
        self._stays = stays
        self._options = options
        self._membership = membership
        self._consumer: Consumer = make_consumer(options)
        self._connection = Connection(topic)
        self._offsets = offsets
        self._topic = topic
        self._limits = limits
        self._listener: AssignmentListener | None = None
        self._positions = Positions()
        self._leader_epochs: dict[int, int] = {}  # partition -> of the last record
        self._committed_s = COMMITTED_S
        self._refusal: Fenced | None = None
        self._pace = Pace(limits.interval_s)
        self._record_bytes = _TYPICAL_BYTES
        self._are_few = True

    def subscribe(self, listener: AssignmentListener) -> None:
        self._listener = listener
        try:
            self._consumer.subscribe(
                [self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
            )
        except KafkaException as error:
            raise from_call(kafka_error(error)) from error

    def poll_batch(self, wait_s: float) -> Batch:
        """Return the records of one interval, which begins when the last one ends; see `Pace`.

        So a record that arrives after a quiet time is returned at once.

        Raises:
            Retriable: the consumer missed an assignment and rejoined, or was refused and cannot rejoin yet.
            Fenced: the group refused this member, and the consumer has rejoined.
        """
        if self._refusal is not None:
            self._join_after(self._refusal)
        self._check_membership()
        self._seek_all()
        gathered = Gathered()
        try:
            group_metadata = self._fill(gathered, wait_s)
        except Fenced as error:
            self._join_after(error)
        except StreamError:
            # The client lost the records that it was about to return, and those collected are not returned.
            self.rewind(dict(self._positions.position) | Batch(gathered.records).start_offsets())
            raise
        if not gathered.number and self._connection.is_lost(self._consumer):
            self._join_again()
        resumed = self._positions.position.keys()
        records = {number: records for number, records in gathered.records.items() if number in resumed}
        return Batch(records, group_metadata, {number: self._leader_epochs[number] for number in records})

    def _join_after(self, refusal: Fenced) -> NoReturn:
        """Rejoin after the group refused this member.

        The client reports a refusal once and is unusable from then on. So the refusal is kept until a new
        consumer can join, which requires a broker.

        Raises:
            Fenced: the refusal; the consumer has rejoined.
            Retriable: no broker responds.
        """
        self._refusal = refusal
        if not self._join_again():
            raise Retriable(str(refusal)) from refusal
        self._refusal = None
        raise refusal

    def _check_membership(self) -> None:
        if self._membership is None or not self._membership.is_suspect:
            return
        owned = frozenset(owned.partition for owned in self._consumer.assignment())
        missed = self._membership.missed(self._consumer.memberid() or "", owned)
        if missed and self._join_again(leaves=True):
            raise Retriable(f"no member of the group reads the partitions {sorted(missed)}: rejoining")

    def _join_again(self, *, leaves: bool = False) -> bool:
        """Rejoin the group with a new consumer, unless no broker responds; return whether it rejoined.

        `leaves`: leave the group first, even as a static member, so that all partitions are reassigned.
        """
        listener = self._listener
        try:
            self._offsets.range(self._topic, 0)
        except Retriable:
            return False
        owned = [owned.partition for owned in self._consumer.assignment()]
        if leaves:
            leave_group(self._consumer)
        self.close()
        self._consumer = make_consumer(self._options)
        if self._membership is not None:
            self._membership.joined()
        if listener is not None:
            listener.lost(owned)
            self.subscribe(listener)
        return True

    def _fill(self, gathered: Gathered, wait_s: float) -> object:
        """Poll the records of a batch; return the group's metadata as of its first record."""
        group_metadata = self._consumer.consumer_group_metadata()
        first = self._poll(0.0)
        waited = first is None
        if first is None and wait_s:
            group_metadata = self._consumer.consumer_group_metadata()
            first = self._poll(wait_s)
        if first is None:
            return group_metadata
        self._take([first], gathered)
        due, is_late = self._pace.next_due()
        has_more = not waited and is_late
        if self._are_few:
            time.sleep(max(0.0, due - time.monotonic()))
        while gathered.number < self._limits.records_max and gathered.size < self._limits.bytes_max:
            room = max(1, (self._limits.bytes_max - gathered.size) // self._record_bytes)
            asked = min(CONSUMED_MAX, room, self._limits.records_max - gathered.number)
            left_s = max(FETCH_WAIT_S if has_more else 0.0, due - time.monotonic())
            messages = _called(partial(self._consumer.consume, asked, left_s))
            self._take(messages, gathered)
            if len(messages) < asked and time.monotonic() >= due:
                break
        self._are_few = gathered.number < FEW
        if gathered.number:
            self._record_bytes = max(1, gathered.size // gathered.number)
        return group_metadata

    def committed(self, partitions: Sequence[int]) -> Mapping[int, CommittedOffset | None]:
        """Return the stable committed offsets: a read_committed consumer receives no others."""
        try:
            offsets = committed_by(self._consumer, self._topic, partitions, self._committed_s)
        except StreamError as error:
            self._committed_s = min(COMMITTED_S_MAX, 2 * self._committed_s)  # the broker may only be slow
            raise self._keep_refusal(error) from error
        self._committed_s = COMMITTED_S
        return offsets

    def offset_range(self, partition: int) -> tuple[int, int]:
        return self._offsets.range(self._topic, partition)

    def resume_from(self, partition: int, offset: int, leader_epoch: int) -> None:
        position = TopicPartition(self._topic, partition, offset, leader_epoch=leader_epoch)
        try:
            self._consumer.seek(position)
            self._consumer.resume([position])
        except KafkaException as error:
            raise self._keep_refusal(from_call(kafka_error(error))) from error
        self._positions.resume_from(partition, offset)
        self._leader_epochs[partition] = leader_epoch

    def pause(self, partition: int) -> None:
        self._positions.drop(partition)  # this stops the delivery; the consumer's pause only saves fetching
        with contextlib.suppress(KafkaException):
            self._consumer.pause([TopicPartition(self._topic, partition)])

    def rewind(self, offsets: Mapping[int, int]) -> None:
        self._positions.rewind(offsets)
        self._seek_all()

    def close(self) -> None:
        self._listener = None
        self._positions.position.clear()
        if not self._stays:
            leave_group(self._consumer)
        self._consumer.close()

    def _poll(self, wait_s: float) -> Message | None:
        return _called(lambda: self._consumer.poll(wait_s))

    def _keep_refusal(self, error: StreamError) -> StreamError:
        """Return the error; if the group refused this member, the next poll rejoins."""
        if not isinstance(error, Fenced):
            return error
        self._refusal = error
        return Retriable(str(error))

    def _take(self, messages: Sequence[Message], gathered: Gathered) -> None:
        """Collect the records that are due."""
        for partition, run in groupby(messages, Message.partition):
            due = list(run)
            # Only C functions: a Python call for each record would take much of the worker's time.
            if any(map(Message.error, due)):
                for message in due:
                    if (error := message.error()) is not None:
                        check_event(error, self._topic, message.partition(), self._positions.position)
                due = [message for message in due if message.error() is None]
            due = self._positions.take_due(partition, due)
            if not due:
                continue
            assert partition is not None
            epoch = due[-1].leader_epoch()
            self._leader_epochs[partition] = -1 if epoch is None else epoch
            gathered.add(self._topic, partition, due)

    def _seek_all(self) -> None:
        for partition, offset in list(self._positions.seek.items()):
            try:
                # With an epoch, so that the client notices if the log was truncated meanwhile (KIP-320).
                epoch = self._leader_epochs.get(partition, -1)
                self._consumer.seek(TopicPartition(self._topic, partition, offset, leader_epoch=epoch))
            except KafkaException as error:
                if isinstance(failure := from_call(kafka_error(error)), Retriable):
                    continue  # not settled yet; until then no record of the partition is delivered
                raise failure from error
            del self._positions.seek[partition]

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # Assign at the end of the log, and paused: nothing is fetched until restore knows where to resume.
        # The end is given as a number: a late response to the client's own lookup would move a consumer that
        # has meanwhile moved elsewhere, and skip records.
        for assigned in partitions:
            assigned.offset = wait_for_end(self._offsets, self._topic, assigned.partition)
        try:
            consumer.incremental_assign(partitions)
            consumer.pause(partitions)
        except KafkaException as error:
            raise Fatal(f"the assignment failed: {describe(kafka_error(error))}") from error
        numbers = [assigned.partition for assigned in partitions]
        for number in numbers:
            self._positions.drop(number)
        if self._listener is not None:
            self._listener.assigned(numbers)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._release(consumer, partitions)
        if self._listener is not None:
            self._listener.revoked([revoked.partition for revoked in partitions])

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._release(consumer, partitions)
        if self._listener is not None:
            self._listener.lost([lost.partition for lost in partitions])

    def _release(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for released in partitions:
            self._positions.drop(released.partition)
        consumer.incremental_unassign(partitions)


def _called(call: Callable[[], T]) -> T:
    try:
        return call()
    except CALL_FAILED as error:
        raise from_call(kafka_error(error)) from error
