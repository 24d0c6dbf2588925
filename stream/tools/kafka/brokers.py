"""The brokers: which there are, how they are configured, whether they let us have transactions."""

import time
from collections.abc import Mapping, Sequence

import confluent_kafka
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import ConfigResource, OffsetSpec  # type: ignore[attr-defined]

from stream.kafka.answers import answer
from stream.kafka.clients import Admin, Options, make_producer
from stream.kafka.failure import from_call, from_transaction, kafka_error
from stream.kafka.offsets import REQUEST_TIMEOUT_S


def client_versions() -> tuple[str, str]:
    """Return the versions of confluent-kafka and librdkafka."""
    return str(confluent_kafka.__version__), confluent_kafka.libversion()[0]


def broker_ids(admin: Admin) -> list[int]:
    """Return the ids of the brokers.

    Raises:
        Retriable: none answers.
        Refused: we are not let in.
    """
    asked = {"cluster": admin.describe_cluster(request_timeout=REQUEST_TIMEOUT_S)}
    return [node.id for node in answer(admin.awaited(asked)["cluster"]).nodes]


def broker_configs(admin: Admin, broker: int) -> Mapping[str, str]:
    """Return a broker's configuration.

    Raises:
        StreamError: it does not say; that needs DescribeConfigs on the cluster.
    """
    resource = ConfigResource(ConfigResource.Type.BROKER, str(broker))
    found = answer(admin.describe_configs([resource], request_timeout=REQUEST_TIMEOUT_S)[resource])
    return {entry.name: entry.value for entry in found.values()}


def newest_timestamp_ms(admin: Admin, topic: str, partitions: Sequence[int]) -> int:
    """Return the greatest timestamp of a record of the topic; 0 without a record.

    Raises:
        Retriable: the broker is away.
    """
    asked = {TopicPartition(topic, partition): OffsetSpec.max_timestamp() for partition in partitions}
    try:
        answers = admin.list_offsets(asked, request_timeout=REQUEST_TIMEOUT_S)
        return max((future.result().timestamp for future in answers.values()), default=0)
    except KafkaException as error:
        raise from_call(kafka_error(error)) from error


def try_transactions(options: Options, transactional_id: str, wait_s: float) -> float:
    """Have the coordinator give out a producer id for this transactional id; return the seconds it took.

    Nothing is produced. The id is remembered by the brokers until it expires.

    Raises:
        StreamError: they do not give one out.
    """
    producer = make_producer({**options, "transactional.id": transactional_id})
    started = time.monotonic()
    try:
        producer.init_transactions(wait_s)
    except KafkaException as error:
        raise from_transaction(kafka_error(error), timed_out=True) from error
    finally:
        producer.purge(blocking=False)
    return time.monotonic() - started
