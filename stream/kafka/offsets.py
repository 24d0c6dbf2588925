"""The partitions of a topic and their offsets: first, end, last stable and committed."""

import time
from collections.abc import Callable, Sequence

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from stream.core.evidence import CommittedOffset
from stream.errors import Fatal, Retriable
from stream.kafka.clients import Admin, Options, make_consumer
from stream.kafka.failure import describe, from_call, kafka_error
from stream.kafka.futures import wait_for_result

REQUEST_TIMEOUT_S = 5.0
METADATA_TIMEOUT_S = 2.0
END_S_MAX, END_RETRY_S = 30.0, 0.2
LogPartition = tuple[str, int]  # topic, partition


class Offsets:
    """Requests offsets through an admin client that is replaced after a failed request.

    librdkafka's client caches leader epochs: after a broker crash, its requests fail for minutes, with
    FENCED_LEADER_EPOCH or because they find no leader.
    """

    def __init__(self, make_admin: Callable[[], AdminClient]) -> None:
        self._make_admin = make_admin
        self._admin: AdminClient | None = None

    def range(self, topic: str, partition: int) -> tuple[int, int]:
        """Return the first offset and the high watermark.

        Raises:
            Retriable: the broker is unavailable.
        """
        if self._admin is None:
            self._admin = self._make_admin()
        try:
            return offset_ranges(self._admin, topic, [partition])[partition]
        except Retriable:
            self._admin = None
            raise

    def forget(self) -> None:
        """Replace the client before its next request: it may still consider dead brokers to be leaders."""
        self._admin = None

    def ends(self, logs: Sequence[LogPartition]) -> dict[LogPartition, tuple[int, int]]:
        """Return high watermark and leader epoch of logs of several topics, in one request per broker.

        Raises:
            Retriable: the broker is unavailable.
        """
        if self._admin is None:
            self._admin = self._make_admin()
        try:
            return _list_offsets(self._admin, logs, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED)
        except Retriable:
            self._admin = None
            raise


def wait_for_end(offsets: Offsets, topic: str, partition: int) -> int:
    """Return the high watermark for an assignment: if no leader responds in time, the worker must restart.

    Raises:
        Fatal: no leader responded.
    """
    deadline = time.monotonic() + END_S_MAX
    while True:
        try:
            return offsets.range(topic, partition)[1]
        except Retriable as reason:
            if time.monotonic() >= deadline:
                why = f"the assignment failed: no leader of {topic}-{partition} responded: {reason}"
                raise Fatal(why) from reason
            time.sleep(END_RETRY_S)


def committed_offsets(
    options: Options, topic: str, partitions: Sequence[int], wait_s: float
) -> dict[int, int | None]:
    """Return `stable_commits` without their metadata."""
    commits = stable_commits(options, topic, partitions, wait_s)
    return {p: None if committed is None else committed.offset for p, committed in commits.items()}


def stable_commits(
    options: Options, topic: str, partitions: Sequence[int], wait_s: float
) -> dict[int, CommittedOffset | None]:
    """Return the group's committed offsets once they are stable: no open transaction can change them.

    The result maps each partition to its committed offset, or to None.

    Raises:
        Retriable: the broker is unavailable, or a transaction stays open.
    """
    consumer = make_consumer(options)
    try:
        return committed_by(consumer, topic, partitions, wait_s)
    finally:
        consumer.close()


def committed_by(
    consumer: Consumer, topic: str, partitions: Sequence[int], wait_s: float
) -> dict[int, CommittedOffset | None]:
    """Return `stable_commits`, requested by a read_committed consumer of the group.

    Raises:
        Retriable: the broker is unavailable, or a transaction stays open.
    """
    try:
        entries = consumer.committed([TopicPartition(topic, partition) for partition in partitions], wait_s)
    except KafkaException as error:
        raise from_call(kafka_error(error)) from error
    commits: dict[int, CommittedOffset | None] = {}
    for entry in entries:
        if entry.error is not None:
            raise from_call(entry.error)
        epoch = -1 if entry.leader_epoch is None else entry.leader_epoch
        committed = CommittedOffset(entry.offset, entry.metadata or "", epoch)
        commits[entry.partition] = None if entry.offset == OFFSET_INVALID else committed
    return commits


def offset_ranges(
    admin: AdminClient, topic: str, partitions: Sequence[int], *, stable: bool = False
) -> dict[int, tuple[int, int]]:
    """Return, by partition, the first offset and the end offset.

    The end is the high watermark; if `stable`, it is the last stable offset, up to which a read_committed
    consumer can read now.

    Raises:
        Retriable: the broker is unavailable.
    """
    level = IsolationLevel.READ_COMMITTED if stable else IsolationLevel.READ_UNCOMMITTED
    logs = [(topic, partition) for partition in partitions]
    first = _list_offsets(admin, logs, OffsetSpec.earliest(), level)
    end = _list_offsets(admin, logs, OffsetSpec.latest(), level)
    return {log[1]: (first[log][0], end[log][0]) for log in logs}


def stable_ends(
    admin: AdminClient, topic: str, partitions: Sequence[int], timeout_s: float = REQUEST_TIMEOUT_S
) -> dict[int, int]:
    """Return, by partition, the last stable offset, in a single request.

    Raises:
        Retriable: the broker is unavailable.
    """
    logs = [(topic, partition) for partition in partitions]
    ends = _list_offsets(admin, logs, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED, timeout_s)
    return {partition: offset for (_, partition), (offset, _) in ends.items()}


def _list_offsets(
    admin: AdminClient,
    logs: Sequence[LogPartition],
    spec: OffsetSpec,
    level: IsolationLevel,
    timeout_s: float = REQUEST_TIMEOUT_S,
) -> dict[LogPartition, tuple[int, int]]:
    """Return the offset and the leader epoch, -1 if unknown, by log."""
    if not logs:
        return {}
    try:
        futures = admin.list_offsets(
            {TopicPartition(topic, partition): spec for topic, partition in logs},
            isolation_level=level,
            request_timeout=timeout_s,
        )
        results = {(each.topic, each.partition): wait_for_result(future) for each, future in futures.items()}
    except KafkaException as error:
        cause = kafka_error(error)
        if cause.code() in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.UNKNOWN_TOPIC_ID}:
            raise Retriable(describe(cause)) from error  # not every broker knows a new partition yet
        raise from_call(cause) from error
    if unknown := [log for log, result in results.items() if result.offset < 0]:
        # A lost response may arrive as a result without an offset.
        topic, partition = unknown[0]
        raise Retriable(f"{topic}, partition {partition}: the broker returned no offset")
    return {
        log: (result.offset, -1 if result.leader_epoch is None else result.leader_epoch)
        for log, result in results.items()
    }


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
