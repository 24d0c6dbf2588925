"""Requests the current number of partitions of a topic through an existing producer."""

from confluent_kafka import KafkaError, KafkaException, Producer

from stream.kafka.failure import from_call, kafka_error

METADATA_S_MAX = 5.0


def partitions_of(producer: Producer, topic: str) -> int:
    """Return the number of partitions; 0 if the topic does not exist.

    Raises:
        Retriable: the broker is unavailable.
    """
    try:
        metadata = producer.list_topics(topic, METADATA_S_MAX).topics[topic]
    except KafkaException as error:
        raise from_call(kafka_error(error)) from error
    if metadata.error is not None and metadata.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
        raise from_call(metadata.error)
    return len(metadata.partitions)
