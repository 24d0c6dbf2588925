"""The end of a topic, followed record by record: for whoever wants to know when each arrives."""

from collections.abc import Callable, Iterator, Mapping

from confluent_kafka import KafkaException, Message, TopicPartition

from stream.errors import Retriable
from stream.kafka.clients import Options, make_consumer
from stream.kafka.failure import from_call, kafka_error

FETCH_WAIT_MS = 100


def tail(
    options: Options, topic: str, start: Mapping[int, int], go_on: Callable[[], bool], wait_s: float
) -> Iterator[Message | None]:
    """Yield committed records, each as it arrives, while `go_on` says so; None after `wait_s` of none.

    `start`: partition -> offset. It polls: `consume` waits until a whole number came.

    Raises:
        Fatal: the topic is gone, or was cut.
    """
    consumer = make_consumer({**options, "enable.partition.eof": False, "fetch.wait.max.ms": FETCH_WAIT_MS})
    try:
        consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in start.items()])
        while go_on():
            message = consumer.poll(wait_s)
            if message is None or (error := message.error()) is None:
                yield message
            elif not isinstance(failure := from_call(error), Retriable):  # librdkafka goes on by itself
                raise failure
    except KafkaException as error:
        raise from_call(kafka_error(error)) from error
    finally:
        consumer.close()
