"""The ids of the cluster and of topics, which distinguish a recreated one from its predecessor."""

from collections.abc import Sequence

from confluent_kafka import TopicCollection

from stream.errors import Fatal
from stream.kafka.clients import Admin
from stream.kafka.futures import existing_results, result_of
from stream.kafka.offsets import REQUEST_TIMEOUT_S


def cluster_and_topic_ids(admin: Admin, topics: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return the id of the cluster, and those of the topics by name.

    Raises:
        Retriable: the broker is unavailable.
        Refused: Kafka denied access.
        Fatal: a topic is missing.
    """
    cluster = result_of(admin.describe_cluster(request_timeout=REQUEST_TIMEOUT_S))
    described = existing_results(
        admin.describe_topics(TopicCollection(list(topics)), request_timeout=REQUEST_TIMEOUT_S)
    )
    for topic in topics:
        if topic not in described:
            raise Fatal(f"the topic {topic} does not exist; create it with: anagram-stream topics create")
    return str(cluster.cluster_id), {name: str(topic.topic_id) for name, topic in described.items()}
