"""Queries about brokers and client: versions, session timeout, newest timestamp, transactions."""

import time
from collections.abc import Sequence

import confluent_kafka
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import ConfigResource, OffsetSpec  # type: ignore[attr-defined]

from stream.client_properties import SESSION_TIMEOUT_MS
from stream.config import Settings
from stream.core.group_protocol import CLASSIC, choose_protocol
from stream.errors import StreamError
from stream.kafka.clients import Admin, Options, make_producer
from stream.kafka.failure import from_call, from_transaction, kafka_error
from stream.kafka.futures import result_of, wait_for_result
from stream.kafka.group_protocol import needs_classic, read_group_facts
from stream.kafka.offsets import REQUEST_TIMEOUT_S


def client_versions() -> tuple[str, str]:
    """Return the versions of confluent-kafka and librdkafka."""
    return str(confluent_kafka.__version__), confluent_kafka.libversion()[0]


def group_session(admin: Admin, settings: Settings) -> tuple[str, float | None]:
    """Return the protocol of the workers' group and its session timeout in seconds; None if unknown.

    With `classic` the client sets the timeout, with `consumer` the group or, by default, the broker.
    """
    facts = read_group_facts(admin, settings.group_id)
    protocol, _ = choose_protocol(settings.group_protocol, facts, needs_classic=needs_classic(settings))
    if protocol == CLASSIC:
        return protocol, int(settings.client_config.get("session.timeout.ms", SESSION_TIMEOUT_MS)) / 1000
    group = ConfigResource(ConfigResource.Type.GROUP, settings.group_id)
    try:
        entries = result_of(admin.describe_configs([group], request_timeout=REQUEST_TIMEOUT_S)[group])
    except StreamError:  # it requires a permission that no worker needs
        return protocol, None
    session = entries.get("consumer.session.timeout.ms")
    return protocol, None if session is None or session.value is None else int(session.value) / 1000


def newest_timestamp_ms(admin: Admin, topic: str, partitions: Sequence[int]) -> int:
    """Return the latest timestamp of a record of the topic; 0 if it has no record.

    Raises:
        Retriable: the broker is unavailable.
    """
    specs = {TopicPartition(topic, partition): OffsetSpec.max_timestamp() for partition in partitions}
    try:
        futures = admin.list_offsets(specs, request_timeout=REQUEST_TIMEOUT_S)
        return max((wait_for_result(future).timestamp for future in futures.values()), default=0)
    except KafkaException as error:
        raise from_call(kafka_error(error)) from error


def try_transactions(options: Options, transactional_id: str, wait_s: float) -> float:
    """Request a producer id for this transactional id from the coordinator; return the seconds it took.

    Nothing is produced. The brokers keep the id until it expires.

    Raises:
        StreamError: the coordinator returned no producer id.
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
