"""Waits for the futures of the admin client, and maps their errors to this package's."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from stream.errors import StreamError
from stream.kafka.failure import from_call, kafka_error


def was_created(future: Future[Any]) -> bool:
    """Wait for a topic to be created; return False if another client has just created it."""
    try:
        future.result()
    except KafkaException as error:
        if kafka_error(error).code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise _mapped(error) from error
    return True


def result_of(future: Future[Any]) -> Any:  # noqa: ANN401 - what the future holds
    """Wait for one result."""
    try:
        return future.result()
    except KafkaException as error:
        raise _mapped(error) from error


def existing_results(futures: Mapping[Any, Future[Any]]) -> dict[Any, Any]:
    """Wait for several results; leave out those of topics that do not exist."""
    results = {}
    for key, future in futures.items():
        try:
            results[key] = future.result()
        except KafkaException as error:
            if kafka_error(error).code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise _mapped(error) from error
    return results


def _mapped(error: KafkaException) -> StreamError:
    return from_call(kafka_error(error))
