"""Where the logs of a topic begin and end."""

from collections.abc import Callable, Sequence

from confluent_kafka import OFFSET_INVALID, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from stream.errors import Retriable
from stream.kafka.clients import Options, make_consumer
from stream.kafka.failure import describe, from_call, kafka_error

REQUEST_TIMEOUT_S = 5.0


class Offsets:
    """Asks for offsets through an admin client that is thrown away when an answer fails.

    librdkafka's goes on with the leader epochs that it knows: after a broker's crash it is answered
    FENCED_LEADER_EPOCH or finds no leader, for minutes.
    """

    def __init__(self, make_admin: Callable[[], AdminClient]) -> None:
        self._make_admin = make_admin
        self._admin: AdminClient | None = None

    def range(self, topic: str, partition: int) -> tuple[int, int]:
        """Return first offset and high watermark.

        Raises:
            Retriable: the broker is away.
        """
        if self._admin is None:
            self._admin = self._make_admin()
        try:
            return offset_ranges(self._admin, topic, [partition])[partition]
        except Retriable:
            self._admin = None
            raise


def committed_offsets(
    options: Options, topic: str, partitions: Sequence[int], wait_s: float
) -> dict[int, int | None]:
    """Return the group's stable committed offsets, by partition: of no open transaction. None: none.

    Raises:
        Retriable: the broker is away, or a transaction stays open.
    """
    consumer = make_consumer(options)
    try:
        found = consumer.committed([TopicPartition(topic, partition) for partition in partitions], wait_s)
    except KafkaException as error:
        raise from_call(kafka_error(error)) from error
    finally:
        consumer.close()
    for at in found:
        if at.error is not None:
            raise from_call(at.error)
    return {at.partition: None if at.offset == OFFSET_INVALID else at.offset for at in found}


def offset_ranges(
    admin: AdminClient, topic: str, partitions: Sequence[int], *, stable: bool = False
) -> dict[int, tuple[int, int]]:
    """Return, by partition, the first offset and the end offset.

    The end is the high watermark, or where `stable` the last stable offset: the end of what a
    read_committed consumer may see now.

    Raises:
        Retriable: the broker is away.
    """
    level = IsolationLevel.READ_COMMITTED if stable else IsolationLevel.READ_UNCOMMITTED
    first = _ask(admin, topic, partitions, OffsetSpec.earliest(), level)
    end = _ask(admin, topic, partitions, OffsetSpec.latest(), level)
    return {partition: (first[partition], end[partition]) for partition in partitions}


def stable_ends(admin: AdminClient, topic: str, partitions: Sequence[int]) -> dict[int, int]:
    """Return, by partition, the last stable offset, in one request: for those who ask all the time.

    Raises:
        Retriable: the broker is away.
    """
    return _ask(admin, topic, partitions, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED)


def _ask(
    admin: AdminClient, topic: str, partitions: Sequence[int], spec: OffsetSpec, level: IsolationLevel
) -> dict[int, int]:
    if not partitions:
        return {}
    try:
        answers = admin.list_offsets(
            {TopicPartition(topic, partition): spec for partition in partitions},
            isolation_level=level,
            request_timeout=REQUEST_TIMEOUT_S,
        )
        found = {at.partition: answer.result().offset for at, answer in answers.items()}
    except KafkaException as error:
        cause = kafka_error(error)
        if cause.code() in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.UNKNOWN_TOPIC_ID}:
            raise Retriable(describe(cause)) from error  # the brokers learn of partitions one by one
        raise from_call(cause) from error
    if unknown := [partition for partition, offset in found.items() if offset < 0]:
        # An answer that was lost on the way may come as a result without an offset.
        raise Retriable(f"{topic}, partition {unknown[0]}: the broker gave no offset")
    return found
