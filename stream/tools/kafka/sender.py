"""A producer without transactions, with a bounded queue, a count of deliveries and a time limit for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic, sleep

from confluent_kafka import KafkaError, KafkaException, Message

from stream.config import Settings
from stream.errors import Refused, Retriable, StreamError
from stream.kafka import clients
from stream.kafka.failure import describe, from_call, kafka_error

DELIVERY_S_MAX = 60.0  # wait of a record for an unavailable broker; enough for a restart
_QUEUE_RECORDS_MAX = 100_000
_QUEUE_BYTES_MAX = 64 * 1024 * 1024
_BATCH_BYTES = 1_000_000  # librdkafka's default
_DISCARD_S_MAX = 5.0
_STEP_S = 0.1  # one wait for a full queue; short, so that Ctrl-C works
_SLEEP_S_MIN = 0.001
_TOPIC_CHANGED = {
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}
_TIMED_OUT = {KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT}  # noqa: SLF001
RAISE_LIMIT = (
    "raise STREAM_TEXT_BYTES_MAX, then the topic's limit with: anagram-stream topics create --repair"
)


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A record that was not delivered.

    Attributes:
        origin: file and line of its text.
    """

    origin: str
    why: str
    hint: str = ""


class Sender:
    """Sends records and counts those that were delivered.

    Attributes:
        delivered: records that the broker confirmed.
        delivered_bytes: size of their values.
        record_bytes_max: size of the longest record that the client accepts.
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
            options["batch.size"] = bytes_max  # the topic rejects a larger batch with all its records
        self._producer = clients.make_producer(options)
        self._settings = settings
        self._topic_bytes_max = bytes_max
        self._failure: StreamError | None = None
        self._undelivered: list[Undelivered] = []
        self.delivered = 0
        self.delivered_bytes = 0

    def send(self, origin: str, key: str | None, value: bytes, headers: Sequence[tuple[str, bytes]]) -> None:
        """Queue a record; wait while the queue is full.

        Raises:
            Retriable: the broker was unavailable for too long.
            StreamError: an earlier record failed with an error that affects every record.
        """
        on_delivery = partial(self._on_delivery, origin, len(value))
        while True:  # ends: the queue drains, or its records time out, which raises
            self._raise_failure()
            try:
                self._producer.produce(
                    self._settings.input_topic, value, key, on_delivery=on_delivery, headers=list(headers)
                )
            except BufferError:
                self._producer.poll(_STEP_S)
            except KafkaException as error:
                self._add_undelivered(origin, len(value), kafka_error(error))
                return
            else:
                self._producer.poll(0)
                return

    def wait_until(self, moment: float) -> None:
        """Serve delivery reports until `moment` of the monotonic clock; raises as `flush` does."""
        while (remaining_s := moment - monotonic()) > 0:
            self._raise_failure()
            # `poll` takes whole milliseconds, and returns after each report.
            sleep(max(_SLEEP_S_MIN, min(remaining_s, _STEP_S)))
            self._producer.poll(0)

    def flush(self) -> bool:
        """Send queued records for a short time; return True when the queue is empty.

        Raises:
            Retriable: the broker was unavailable for too long.
            StreamError: a record failed with an error that affects every record.
        """
        self._raise_failure()
        queued = self._producer.flush(_STEP_S)
        self._raise_failure()
        return queued == 0

    def discard(self) -> None:
        """Discard the queue; its records count as undelivered."""
        self._producer.purge()
        deadline = monotonic() + _DISCARD_S_MAX
        while self._producer.flush(_STEP_S) and monotonic() < deadline:
            pass

    def take_undelivered(self) -> list[Undelivered]:
        """Return the records that failed since the last call."""
        taken, self._undelivered = self._undelivered, []
        return taken

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _on_delivery(self, origin: str, size_bytes: int, error: KafkaError | None, _: Message) -> None:
        if error is None:
            self.delivered += 1
            self.delivered_bytes += size_bytes
        else:
            self._add_undelivered(origin, size_bytes, error)

    def _add_undelivered(self, origin: str, size_bytes: int, error: KafkaError) -> None:
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            limit = min(self.record_bytes_max, self._topic_bytes_max or self.record_bytes_max)
            why = f"{size_bytes:,} bytes; {self._settings.input_topic} accepts {limit:,} bytes per record"
            self._undelivered.append(Undelivered(origin, why, RAISE_LIMIT))
            return
        self._undelivered.append(Undelivered(origin, describe(error)))
        if self._failure is None:
            self._failure = self._failure_of(error)

    def _failure_of(self, error: KafkaError) -> StreamError:
        if error.code() in _TOPIC_CHANGED:
            return Refused(
                f"{self._settings.input_topic} was deleted, or created again with fewer partitions, while "
                f"blobs were sent: {describe(error)}; blobs delivered before are in the old topic",
                "run `anagram-stream topics check`, then send the missing blobs again",
            )
        return Retriable(describe(error)) if error.code() in _TIMED_OUT else from_call(error)
