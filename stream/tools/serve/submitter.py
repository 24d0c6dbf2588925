"""Sends submitted texts to the input topic."""

import asyncio
import threading
from http import HTTPStatus
from typing import NamedTuple

import orjson
from confluent_kafka import KafkaError, KafkaException, Message

from stream.config import Settings
from stream.kafka.clients import make_producer, producer_options
from stream.kafka.failure import describe, kafka_error
from stream.tools.serve.problems import ProblemRaised

_DELIVERY_MS_MAX = 20_000
_QUEUE_RECORDS_MAX = 10_000
_POLL_S = 0.2
_HEADERS: list[tuple[str, str | bytes | None]] = [
    ("content-type", b"application/json")
]  # an envelope, regardless of STREAM_INPUT_FORMAT


class InputPosition(NamedTuple):
    """Where a submitted blob is in the input topic."""

    partition: int
    offset: int


class Submitter:
    """An idempotent producer whose deliveries are awaited."""

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        options = producer_options(settings) | {
            "message.timeout.ms": _DELIVERY_MS_MAX,
            "queue.buffering.max.messages": _QUEUE_RECORDS_MAX,
        }
        self._producer = make_producer(options)
        self._topic = settings.input_topic
        self._loop = loop
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="submit", daemon=True)
        self._thread.start()

    async def submit(self, blob_id: str, text: str) -> InputPosition:
        """Send a text, and return its position once all in-sync replicas have it.

        Raises:
            ProblemRaised: it is too large, or the broker is unavailable.
        """
        delivered: asyncio.Future[InputPosition | KafkaError] = self._loop.create_future()

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            position = InputPosition(message.partition() or 0, message.offset() or 0)
            self._loop.call_soon_threadsafe(_resolve, delivered, error or position)

        value = orjson.dumps({"id": blob_id, "text": text})
        try:
            self._producer.produce(
                self._topic, value, blob_id.encode(), headers=_HEADERS, on_delivery=on_delivery
            )
        except BufferError as error:
            raise _unavailable("too many texts are waiting for the broker") from error
        except KafkaException as error:
            raise _failed(kafka_error(error)) from error
        outcome = await delivered
        if isinstance(outcome, InputPosition):
            return outcome
        raise _failed(outcome)

    def close(self) -> None:
        """Send the queue, for a short time at most."""
        self._producer.flush(5)
        self._closed.set()
        self._thread.join(2)

    def _poll(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(_POLL_S)  # returns after each delivery


def _resolve(
    delivered: "asyncio.Future[InputPosition | KafkaError]", outcome: InputPosition | KafkaError
) -> None:
    if not delivered.done():  # the client may have disconnected
        delivered.set_result(outcome)


def _failed(error: KafkaError) -> ProblemRaised:
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        return ProblemRaised(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the text is too large for the input topic")
    return _unavailable(f"the text was not sent: {describe(error)}")


def _unavailable(detail: str) -> ProblemRaised:
    return ProblemRaised(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"retry-after": "5"})
