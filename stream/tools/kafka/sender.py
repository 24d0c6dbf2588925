"""A plain producer: a bounded queue, every delivery counted, a broker that stays away given up on."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic, sleep

from confluent_kafka import KafkaError, KafkaException, Message

from stream.config import Settings
from stream.errors import Retriable, StreamError
from stream.kafka import clients
from stream.kafka.failure import describe, from_call, kafka_error

DELIVERY_S_MAX = 60.0  # how long a record waits for a broker that went away; one restart of it fits in
_QUEUE_RECORDS_MAX = 100_000
_QUEUE_BYTES_MAX = 64 * 1024 * 1024
_BATCH_BYTES = 1_000_000  # librdkafka's default
_DROP_S_MAX = 5.0
_STEP_S = 0.1  # between two looks at a full queue, so that Ctrl-C is heard
_NAP_S = 0.001
_TIMED_OUT = {KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT}  # noqa: SLF001
RAISE_LIMIT = "raise STREAM_TEXT_BYTES_MAX, and the topic's limit with: anagram-stream topics create --repair"


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A record that did not arrive.

    Attributes:
        where: its text comes from.
    """

    where: str
    why: str
    hint: str = ""


class Sender:
    """Sends records and counts what became of them.

    Attributes:
        delivered: records that the broker confirmed.
        delivered_bytes: their values.
        record_bytes_max: the longest record that is tried.
    """

    def __init__(self, settings: Settings, bytes_max: int | None) -> None:
        options = clients.producer_options(settings)
        self.record_bytes_max: int = options["message.max.bytes"]
        options |= {
            "message.timeout.ms": int(DELIVERY_S_MAX * 1000),
            "queue.buffering.max.messages": _QUEUE_RECORDS_MAX,
            "queue.buffering.max.kbytes": max(_QUEUE_BYTES_MAX, 2 * self.record_bytes_max) // 1024,
        }
        if bytes_max is not None and bytes_max < _BATCH_BYTES:
            options["batch.size"] = bytes_max  # a larger batch the topic refuses, with every record in it
        self._producer = clients.make_producer(options)
        self._settings = settings
        self._topic_bytes_max = bytes_max
        self._failure: StreamError | None = None
        self._undelivered: list[Undelivered] = []
        self.delivered = 0
        self.delivered_bytes = 0

    def send(self, where: str, key: str | None, value: bytes, headers: Sequence[tuple[str, bytes]]) -> None:
        """Queue a record; waits while the queue is full.

        Raises:
            Retriable: the broker stayed away for too long.
            StreamError: an earlier record failed in a way that all do.
        """
        done = partial(self._on_delivery, where, len(value))
        while True:  # ends: the queue drains, or its records time out and that is raised
            self._raise()
            try:
                self._producer.produce(
                    self._settings.input_topic, value, key, on_delivery=done, headers=list(headers)
                )
            except BufferError:
                self._producer.poll(_STEP_S)
            except KafkaException as error:
                self._failed(where, len(value), kafka_error(error))
                return
            else:
                self._producer.poll(0)
                return

    def wait_until(self, moment: float) -> None:
        """Serve delivery reports until `moment`, of the monotonic clock."""
        while (left := moment - monotonic()) > 0:
            self._raise()
            sleep(max(_NAP_S, min(left, _STEP_S)))  # `poll` takes whole milliseconds and ends at each report
            self._producer.poll(0)

    def flush(self) -> bool:
        """Push what is queued for a moment; true when nothing is left. Each record has its time limit.

        Raises:
            Retriable: the broker stayed away for too long.
            StreamError: records failed in a way that all do.
        """
        self._raise()
        left = self._producer.flush(_STEP_S)
        self._raise()
        return left == 0

    def drop(self) -> None:
        """Give up what is queued; it counts as undelivered."""
        self._producer.purge()
        deadline = monotonic() + _DROP_S_MAX
        while self._producer.flush(_STEP_S) and monotonic() < deadline:
            pass

    def take_undelivered(self) -> list[Undelivered]:
        """Return what did not arrive since the last call."""
        taken, self._undelivered = self._undelivered, []
        return taken

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _on_delivery(self, where: str, size_bytes: int, error: KafkaError | None, _: Message) -> None:
        if error is None:
            self.delivered += 1
            self.delivered_bytes += size_bytes
        else:
            self._failed(where, size_bytes, error)

    def _failed(self, where: str, size_bytes: int, error: KafkaError) -> None:
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            limit = min(self.record_bytes_max, self._topic_bytes_max or self.record_bytes_max)
            why = f"{size_bytes:,} bytes; a record of {self._settings.input_topic} has at most {limit:,}"
            self._undelivered.append(Undelivered(where, why, RAISE_LIMIT))
            return
        self._undelivered.append(Undelivered(where, describe(error)))
        if self._failure is None:
            lost = error.code() in _TIMED_OUT
            self._failure = Retriable(describe(error)) if lost else from_call(error)
