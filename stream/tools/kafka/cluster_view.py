"""A replicated cluster as its brokers describe it: leaders, coordinators and in-sync replicas."""

from collections.abc import Callable, Iterator, Mapping

from confluent_kafka import ElectionType, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    TopicMetadata,
)

from stream.errors import Retriable
from stream.kafka.clients import Admin
from stream.kafka.failure import from_call, kafka_error
from stream.kafka.futures import result_of

OFFSETS_TOPIC, TRANSACTIONS_TOPIC = "__consumer_offsets", "__transaction_state"
METADATA_S_MAX, REQUEST_S_MAX = 5.0, 10.0
NAMED_MAX = 6  # partitions in a sentence
_BITS = 32


def coordinator_partition(name: str, partitions: int) -> int:
    """Return the partition of the offsets topic (transactions topic) that coordinates a group (producer).

    Same formula as in Kafka: the absolute value of Java's `String.hashCode`, modulo the number of partitions.
    """
    units = name.encode("utf-16-be")
    number = 0
    for position in range(0, len(units), 2):
        number = (31 * number + int.from_bytes(units[position : position + 2])) % (1 << _BITS)
    if number >= 1 << (_BITS - 1):
        number -= 1 << _BITS
    return 0 if number == -(1 << (_BITS - 1)) else abs(number) % partitions


class ClusterView:
    """Reads leaders and in-sync replicas from the brokers, with a client that is replaced after a failure.

    librdkafka's client may permanently forget all brokers (librdkafka#5301).
    """

    def __init__(self, make_admin: Callable[[], Admin]) -> None:
        self._make_admin = make_admin
        self._admin: Admin | None = None

    def leader(self, topic: str, partition: int) -> int | None:
        """Return the node id of a leader; None if there is none.

        Raises:
            Retriable: no broker responds, or none knows the partition.
        """
        return self.leaders(topic).get(partition)

    def leaders(self, topic: str) -> dict[int, int]:
        """Return partition -> node id of its leader, for those that have one.

        Raises:
            Retriable: no broker responds.
        """
        described = self.topics().get(topic)
        partitions = {} if described is None else described.partitions
        return {number: each.leader for number, each in partitions.items() if each.leader > 0}

    def coordinator(self, topic: str, name: str) -> int | None:
        """Return the node id of the coordinator of a group or transactional producer; None if there is none.

        Raises:
            Retriable: no broker responds.
        """
        described = self.topics().get(topic)
        if described is None or not described.partitions:
            return None
        partition = coordinator_partition(name, len(described.partitions))
        leader: int = described.partitions[partition].leader
        return leader if leader > 0 else None

    def replicas(self) -> dict[str, dict[int, list[int]]]:
        """Return topic -> partition -> its replicas, preferred leader first, including internal topics.

        Raises:
            Retriable: no broker responds.
        """
        return {
            name: {number: list(each.replicas) for number, each in topic.partitions.items()}
            for name, topic in self.topics().items()
        }

    def not_in_sync(self, nodes: int) -> str:
        """Describe what is missing until all replicas of all topics are in sync; empty if nothing is."""
        try:
            metadata = self._metadata()
        except Retriable as error:
            return f"no broker responds ({error})"
        if len(metadata.brokers) < nodes:
            return f"only {len(metadata.brokers)} of {nodes} brokers are registered"
        missing = sorted(_not_in_sync(metadata.topics))
        more = f" and {len(missing) - NAMED_MAX} more" if len(missing) > NAMED_MAX else ""
        return ", ".join(missing[:NAMED_MAX]) + more

    def topics(self) -> Mapping[str, TopicMetadata]:
        """Return the description of each topic, including internal ones.

        Raises:
            Retriable: no broker responds.
        """
        return self._metadata().topics

    def elect_preferred(self) -> None:
        """Make the preferred replica of each partition its leader.

        Raises:
            Retriable: not all of them became leaders.
        """
        self._elect(ElectionType.PREFERRED, None)

    def elect_unclean(self, topic: str, partition: int) -> None:
        """Make an out-of-sync replica the leader; records that it lacks are lost.

        Raises:
            Retriable: no leader was elected.
        """
        self._elect(ElectionType.UNCLEAN, [TopicPartition(topic, partition)])

    def set_topic_config(self, name: str, value: str) -> None:
        """Set a configuration of all topics, including internal ones.

        Raises:
            Retriable: the cluster is unavailable.
        """
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resources = [
            ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
            for topic in self.topics()
        ]
        altered = self._client.incremental_alter_configs(resources, request_timeout=REQUEST_S_MAX)
        for future in altered.values():
            result_of(future)

    def create_topic(self, name: str, replicas: list[list[int]]) -> None:
        """Create a topic with these replicas of each partition, unless it exists.

        Raises:
            Retriable: the cluster is unavailable.
        """
        if name not in self.topics():
            topic = NewTopic(name, len(replicas), replica_assignment=replicas)
            result_of(self._client.create_topics([topic], request_timeout=REQUEST_S_MAX)[name])

    def forget(self) -> None:
        """Replace the client before its next use."""
        self._admin = None

    @property
    def _client(self) -> Admin:
        if self._admin is None:
            self._admin = self._make_admin()
        return self._admin

    def _elect(self, kind: ElectionType, partitions: list[TopicPartition] | None) -> None:
        # Without a timeout: confluent-kafka 2.16 raises SystemError if one is given.
        elected = result_of(self._client.elect_leaders(kind, partitions))
        for partition, why in elected.items():  # a KafkaError, although the library documents an exception
            if why is not None and why.code() != KafkaError.ELECTION_NOT_NEEDED:
                raise Retriable(f"{partition.topic}-{partition.partition}: {why}")

    def _metadata(self) -> ClusterMetadata:
        try:
            metadata = self._client.list_topics(timeout=METADATA_S_MAX)
        except KafkaException as error:
            self.forget()
            raise from_call(kafka_error(error)) from error
        if not metadata.brokers:
            self.forget()
            raise Retriable("the response lists no broker")
        return metadata


def _not_in_sync(topics: Mapping[str, TopicMetadata]) -> Iterator[str]:
    for name, topic in topics.items():
        for number, partition in topic.partitions.items():
            if partition.leader < 1:
                yield f"{name}-{number} has no leader"
            elif set(partition.isrs) != set(partition.replicas):
                yield f"{name}-{number} has in-sync replicas {sorted(partition.isrs)}"
