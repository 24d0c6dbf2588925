"""Waits for the futures of the admin client, and maps their errors to this package's.

Each request has its own timeout of at most 10 s; a future that is pending much longer never completes. An
unlimited wait would stop the worker, which waits for the ids of the topics in every transaction.
"""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from stream.errors import Retriable
from stream.kafka.failure import from_call, kafka_error

RESULT_S_MAX = 15.0


def result_of(future: Future[Any]) -> Any:  # noqa: ANN401 - the result of the future
    """Wait for one result.

    Raises:
        Retriable: the broker is unavailable.
    """
    try:
        return wait_for_result(future)
    except KafkaException as error:
        raise from_call(kafka_error(error)) from error


def existing_results(futures: Mapping[Any, Future[Any]]) -> dict[Any, Any]:
    """Wait for several results; omit those of topics that do not exist.

    Raises:
        Retriable: the broker is unavailable.
    """
    results = {}
    for key, future in futures.items():
        try:
            results[key] = wait_for_result(future)
        except KafkaException as error:
            if kafka_error(error).code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise from_call(kafka_error(error)) from error
    return results


def wait_for_result(future: Future[Any]) -> Any:  # noqa: ANN401 - the result of the future
    """Wait for one result; a KafkaException is raised unchanged.

    Raises:
        Retriable: the client library did not complete the request in time.
    """
    try:
        return future.result(RESULT_S_MAX)
    except TimeoutError as error:
        raise Retriable(f"no response to a request within {RESULT_S_MAX:.0f} s") from error
