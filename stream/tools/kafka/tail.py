"""Follows the end of a topic record by record, with as little delay as possible."""

from collections.abc import Callable, Iterator, Mapping

from confluent_kafka import KafkaException, Message, TopicPartition

from stream.errors import Retriable
from stream.kafka.clients import Options, make_consumer
from stream.kafka.failure import from_call, kafka_error

FETCH_WAIT_MS = 100


def tail(
    options: Options, topic: str, start: Mapping[int, int], go_on: Callable[[], bool], wait_s: float
) -> Iterator[Message | None]:
    """Yield committed records as they arrive, while `go_on()` is true; yield None after `wait_s` without one.

    `start`: partition -> offset. It uses `poll`, because `consume` waits for a full batch of records.

    Raises:
        Fatal: the topic was deleted or truncated.
    """
    consumer = make_consumer({**options, "enable.partition.eof": False, "fetch.wait.max.ms": FETCH_WAIT_MS})
    try:
        consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in start.items()])
        while go_on():
            message = consumer.poll(wait_s)
            if message is None or (error := message.error()) is None:
                yield message
            elif not isinstance(failure := from_call(error), Retriable):  # librdkafka retries by itself
                raise failure
    except KafkaException as error:
        raise from_call(kafka_error(error)) from error
    finally:
        consumer.close()
