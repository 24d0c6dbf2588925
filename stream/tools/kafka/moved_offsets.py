"""Moves the committed offsets of a group without evidence, as an administrator's tool does."""

from collections.abc import Mapping

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from stream.errors import Retriable
from stream.kafka.clients import Admin
from stream.kafka.failure import describe
from stream.kafka.futures import result_of


def move_offsets(admin: Admin, group_id: str, topic: str, offsets: Mapping[int, int]) -> None:
    """Commit an offset for each partition of a group without members.

    Raises:
        Retriable: the group has members, or the broker is unavailable.
    """
    positions = [TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]
    request = ConsumerGroupTopicPartitions(group_id, positions)
    (future,) = admin.alter_consumer_group_offsets([request]).values()
    for position in result_of(future).topic_partitions:
        if position.error is not None:
            raise Retriable(f"{topic}, partition {position.partition}: {describe(position.error)}")
