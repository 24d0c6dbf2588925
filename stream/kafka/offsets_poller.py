"""Offsets of several topics and of the group, for metrics and tools; the worker itself does not use them."""

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
from stream.kafka.offsets import REQUEST_TIMEOUT_S, offset_ranges, partitions_of

ByTopic = dict[str, dict[int, int]]


@dataclass(frozen=True, slots=True)
class ClusterOffsets:
    """Offsets of topics and of the group.

    Attributes:
        last_stable_offsets: topic -> partition -> last stable offset.
        end_offsets: topic -> partition -> high watermark, requested before the last stable offset.
        group_positions: input partition -> committed offset, or else the first offset of the log.
    """

    last_stable_offsets: ByTopic
    end_offsets: ByTopic
    group_positions: dict[int, int]


class OffsetsPoller:
    """Requests offsets through its own admin client, which is replaced after a failed request."""

    def __init__(self, make_admin: Callable[[], Admin], topics: Sequence[str], group_id: str) -> None:
        """The first topic is the input."""
        self._make_admin = make_admin
        self._topics = topics
        self._group_id = group_id
        self._admin: Admin | None = None

    def poll(self, partitions: Sequence[int]) -> ClusterOffsets:
        """Return the offsets of all topics, and the group's positions in these partitions of the input.

        Raises:
            Retriable: the broker is unavailable.
            Fatal: a topic is missing, or access is denied.
        """
        if self._admin is None:
            self._admin = self._make_admin()
        admin = self._admin
        try:
            topic_partitions = [
                TopicPartition(topic, partition)
                for topic in self._topics
                for partition in partitions_of(admin, topic)
            ]
            end_offsets = last_offsets(admin, topic_partitions, stable=False)
            last_stable_offsets = last_offsets(admin, topic_partitions, stable=True)
            return ClusterOffsets(last_stable_offsets, end_offsets, self._group_positions(admin, partitions))
        except Retriable:
            self._admin = None
            raise

    def _group_positions(self, admin: Admin, partitions: Sequence[int]) -> dict[int, int]:
        if not partitions:
            return {}
        topic = self._topics[0]
        first_offsets = {p: first for p, (first, _) in offset_ranges(admin, topic, partitions).items()}
        return first_offsets | group_offsets(admin, self._group_id, topic, partitions)


def last_offsets(admin: Admin, topic_partitions: Sequence[TopicPartition], *, stable: bool) -> ByTopic:
    """Return the high watermarks, or if `stable` the last stable offsets, with one request per broker.

    Raises:
        Retriable: the broker is unavailable.
    """
    level = IsolationLevel.READ_COMMITTED if stable else IsolationLevel.READ_UNCOMMITTED
    offsets: ByTopic = {}
    try:
        futures = admin.list_offsets(
            dict.fromkeys(topic_partitions, OffsetSpec.latest()),
            isolation_level=level,
            request_timeout=REQUEST_TIMEOUT_S,
        )
        for topic_partition, future in futures.items():
            offsets.setdefault(topic_partition.topic, {})[topic_partition.partition] = future.result().offset
    except KafkaException as error:
        raise from_call(kafka_error(error)) from error
    if any(offset < 0 for by_partition in offsets.values() for offset in by_partition.values()):
        raise Retriable("the broker returned no offset")
    return offsets


def group_offsets(admin: Admin, group_id: str, topic: str, partitions: Sequence[int]) -> dict[int, int]:
    """Return the group's committed offsets, for partitions that have one.

    Raises:
        Retriable: the broker is unavailable.
        Refused: access is denied.
    """
    topic_partitions = [TopicPartition(topic, partition) for partition in partitions]
    futures = admin.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group_id, topic_partitions)], request_timeout=REQUEST_TIMEOUT_S
    )
    committed = result_of(futures[group_id]).topic_partitions
    return {each.partition: each.offset for each in committed if each.error is None and each.offset >= 0}
