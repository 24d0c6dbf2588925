"""What the futures of the admin client hold, or why not in our terms."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from stream.errors import StreamError
from stream.kafka.failure import from_call, kafka_error


def was_made(future: Future[Any]) -> bool:
    """Wait for a topic to be made; False where somebody else just made it."""
    try:
        future.result()
    except KafkaException as error:
        if kafka_error(error).code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise _refused(error) from error
    return True


def answer(future: Future[Any]) -> Any:  # noqa: ANN401 - what the future holds
    """Wait for one answer."""
    try:
        return future.result()
    except KafkaException as error:
        raise _refused(error) from error


def answers(futures: Mapping[Any, Future[Any]]) -> dict[Any, Any]:
    """Return the answers of what exists."""
    found = {}
    for key, future in futures.items():
        try:
            found[key] = future.result()
        except KafkaException as error:
            if kafka_error(error).code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise _refused(error) from error
    return found


def _refused(error: KafkaException) -> StreamError:
    return from_call(kafka_error(error))
