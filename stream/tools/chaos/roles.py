"""Finds which node of a cluster has which role, and which replicas are not in sync."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import orjson
from confluent_kafka import KafkaException
from confluent_kafka.admin import ClusterMetadata, TopicMetadata  # type: ignore[attr-defined]

from stream.errors import Retriable
from stream.kafka.clients import Admin
from stream.kafka.failure import from_call, kafka_error

OFFSETS_TOPIC, TRANSACTIONS_TOPIC = "__consumer_offsets", "__transaction_state"
METADATA_S_MAX = 5.0
QUORUM_STATE = Path("__cluster_metadata-0/quorum-state")
NAMED_MAX = 6  # partitions in a sentence
_BITS = 32


def coordinator_partition(name: str, partitions: int) -> int:
    """Return the partition of the offsets topic (transactions topic) that coordinates a group (producer).

    As Kafka does: the absolute value of Java's `String.hashCode`, modulo the number of partitions.
    """
    units = name.encode("utf-16-be")
    number = 0
    for position in range(0, len(units), 2):
        number = (31 * number + int.from_bytes(units[position : position + 2])) % (1 << _BITS)
    if number >= 1 << (_BITS - 1):
        number -= 1 << _BITS
    return 0 if number == -(1 << (_BITS - 1)) else abs(number) % partitions


def active_controller(folders: Sequence[Path]) -> int | None:
    """Return the node id of the active controller; None while there is none.

    A broker answers clients with any node as the controller, so that this reads what each controller keeps on
    disk. `folders` are Kafka's own, of nodes that run.
    """
    states = [orjson.loads((folder / QUORUM_STATE).read_bytes()) for folder in folders]
    leaders = {state["leaderEpoch"]: state["leaderId"] for state in states if state["leaderId"] > 0}
    return leaders[max(leaders)] if leaders else None


class ClusterView:
    """Reads leaders and in-sync replicas from the brokers, with a client that is replaced after a failure.

    librdkafka's client may forget all brokers for good (librdkafka#5301).
    """

    def __init__(self, make_admin: Callable[[], Admin]) -> None:
        self._make_admin = make_admin
        self._admin: Admin | None = None

    def leader(self, topic: str, partition: int) -> int | None:
        """Return the node id of a leader; None if there is none.

        Raises:
            Retriable: no broker answers, or none knows the partition.
        """
        return self.leaders(topic).get(partition)

    def leaders(self, topic: str) -> dict[int, int]:
        """Return partition -> node id of its leader, for those that have one.

        Raises:
            Retriable: no broker answers.
        """
        described = self.topics().get(topic)
        partitions = {} if described is None else described.partitions
        return {number: each.leader for number, each in partitions.items() if each.leader > 0}

    def coordinator(self, topic: str, name: str) -> int | None:
        """Return the node id of the coordinator of a group or a transactional producer; None: there is none.

        Raises:
            Retriable: no broker answers.
        """
        described = self.topics().get(topic)
        if described is None or not described.partitions:
            return None
        partition = coordinator_partition(name, len(described.partitions))
        leader: int = described.partitions[partition].leader
        return leader if leader > 0 else None

    def replicas(self) -> dict[str, dict[int, list[int]]]:
        """Return topic -> partition -> its replicas, the preferred leader first, also of Kafka's own topics.

        Raises:
            Retriable: no broker answers.
        """
        return {
            name: {number: list(each.replicas) for number, each in topic.partitions.items()}
            for name, topic in self.topics().items()
        }

    def not_in_sync(self, nodes: int) -> str:
        """Return what is missing to a cluster where all replicas of all topics are in sync; empty: nothing."""
        try:
            metadata = self._metadata()
        except Retriable as error:
            return f"no broker answers ({error})"
        if len(metadata.brokers) < nodes:
            return f"only {len(metadata.brokers)} of {nodes} brokers are registered"
        missing = sorted(_not_in_sync(metadata.topics))
        more = f" and {len(missing) - NAMED_MAX} more" if len(missing) > NAMED_MAX else ""
        return ", ".join(missing[:NAMED_MAX]) + more

    def topics(self) -> Mapping[str, TopicMetadata]:
        """Return the description of each topic, also of Kafka's own.

        Raises:
            Retriable: no broker answers.
        """
        return self._metadata().topics

    @property
    def admin(self) -> Admin:
        """The client; `forget` it after a failure."""
        if self._admin is None:
            self._admin = self._make_admin()
        return self._admin

    def forget(self) -> None:
        """Replace the client before its next use."""
        self._admin = None

    def _metadata(self) -> ClusterMetadata:
        try:
            metadata = self.admin.list_topics(timeout=METADATA_S_MAX)
        except KafkaException as error:
            self.forget()
            raise from_call(kafka_error(error)) from error
        if not metadata.brokers:
            self.forget()
            raise Retriable("the answer lists no broker")
        return metadata


def _not_in_sync(topics: Mapping[str, TopicMetadata]) -> Iterator[str]:
    for name, topic in topics.items():
        for number, partition in topic.partitions.items():
            if partition.leader < 1:
                yield f"{name}-{number} has no leader"
            elif set(partition.isrs) != set(partition.replicas):
                yield f"{name}-{number} has in-sync replicas {sorted(partition.isrs)}"
