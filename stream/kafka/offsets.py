"""Where the logs of a topic begin and end."""

from collections.abc import Callable, Sequence

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from stream.errors import Retriable
from stream.kafka.failure import describe, from_call, kafka_error

ANSWER_S_MAX = 5.0


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


def _ask(
    admin: AdminClient, topic: str, partitions: Sequence[int], spec: OffsetSpec, level: IsolationLevel
) -> dict[int, int]:
    if not partitions:
        return {}
    try:
        answers = admin.list_offsets(
            {TopicPartition(topic, partition): spec for partition in partitions},
            isolation_level=level,
            request_timeout=ANSWER_S_MAX,
        )
        return {at.partition: answer.result().offset for at, answer in answers.items()}
    except KafkaException as error:
        cause = kafka_error(error)
        if cause.code() in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.UNKNOWN_TOPIC_ID}:
            raise Retriable(describe(cause)) from error  # the brokers learn of partitions one by one
        raise from_call(cause) from error
