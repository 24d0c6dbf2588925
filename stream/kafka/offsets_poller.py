"""Where the logs of several topics end, and the group in them: for who watches, not for who works."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from stream.errors import Retriable
from stream.kafka.clients import Admin
from stream.kafka.failure import from_call, kafka_error
from stream.kafka.futures import result_of
from stream.kafka.offsets import REQUEST_TIMEOUT_S, offset_ranges
from stream.kafka.reader import partitions_of

ByTopic = dict[str, dict[int, int]]


@dataclass(frozen=True, slots=True)
class Ends:
    """Where logs end.

    Attributes:
        stable: topic -> partition -> last stable offset.
        end: topic -> partition -> high watermark, asked for before the last stable offset.
        undone: partition of the input -> where the group, or else the log, goes on.
    """

    stable: ByTopic
    end: ByTopic
    undone: dict[int, int]


class OffsetsPoller:
    """Asks through an admin client of its own, made when first needed, thrown away when an answer fails."""

    def __init__(self, make_admin: Callable[[], Admin], topics: Sequence[str], group_id: str) -> None:
        self._make_admin = make_admin
        self._topics = topics
        self._group_id = group_id
        self._admin: Admin | None = None

    def look(self, undone: Sequence[int]) -> Ends:
        """Return where all topics end, and where the group stands in `undone` of the first of them.

        Raises:
            Retriable: the broker is away.
            Fatal: a topic is missing, or no access.
        """
        if self._admin is None:
            self._admin = self._make_admin()
        admin = self._admin
        try:
            places = [
                TopicPartition(topic, partition)
                for topic in self._topics
                for partition in partitions_of(admin, topic)
            ]
            end = last_offsets(admin, places, stable=False)
            stable = last_offsets(admin, places, stable=True)
            return Ends(stable, end, self._undone(admin, undone))
        except Retriable:
            self._admin = None
            raise

    def _undone(self, admin: Admin, partitions: Sequence[int]) -> dict[int, int]:
        if not partitions:
            return {}
        topic = self._topics[0]
        first = {p: first for p, (first, _) in offset_ranges(admin, topic, partitions).items()}
        return first | group_offsets(admin, self._group_id, topic, partitions)


def last_offsets(admin: Admin, places: Sequence[TopicPartition], *, stable: bool) -> ByTopic:
    """Return the high watermarks, or where `stable` the last stable offsets, in one request a broker.

    Raises:
        Retriable: the broker is away.
    """
    level = IsolationLevel.READ_COMMITTED if stable else IsolationLevel.READ_UNCOMMITTED
    found: ByTopic = {}
    try:
        answers = admin.list_offsets(
            dict.fromkeys(places, OffsetSpec.latest()),
            isolation_level=level,
            request_timeout=REQUEST_TIMEOUT_S,
        )
        for at, future in answers.items():
            found.setdefault(at.topic, {})[at.partition] = future.result().offset
    except KafkaException as error:
        raise from_call(kafka_error(error)) from error
    if any(offset < 0 for of in found.values() for offset in of.values()):
        raise Retriable("the broker gave no offset")
    return found


def group_offsets(admin: Admin, group_id: str, topic: str, partitions: Sequence[int]) -> dict[int, int]:
    """Return where the group goes on, of partitions where it has committed.

    Raises:
        Retriable: the broker is away.
        Refused: no access.
    """
    places = [TopicPartition(topic, partition) for partition in partitions]
    asked = admin.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group_id, places)], request_timeout=REQUEST_TIMEOUT_S
    )
    found = result_of(asked[group_id]).topic_partitions
    return {at.partition: at.offset for at in found if at.error is None and at.offset >= 0}
