"""The options of every Kafka client. What exactness hangs on is written out, never left to a default."""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from stream.config import MAX_POLL_INTERVAL_MS, SESSION_TIMEOUT_MS, Settings
from stream.errors import Misconfigured, Refused
from stream.kafka.failure import describe, kafka_error

_LOG = logging.getLogger(
    "librdkafka"
)  # silent unless STREAM_KAFKA_CONFIG sets `debug`: what matters reaches us as errors
_LOG.addHandler(logging.NullHandler())
_LOG.propagate = False
FRAMING_BYTES_MAX = 64 * 1024  # what key, headers and framing may add to a text or a result
_PREFETCH_KIB_MIN, _PREFETCH_KIB_MAX = 1024, 4 * 1024  # more than that took memory, and no less time
_PREFETCH_RECORDS = 10_000  # of a partition: short ones take more memory than their bytes say
_QUEUE_KIB = 16 * 1024
_ERRORS_KEPT = 50
_LOOK_S, _DENIED_TIMES = 0.2, 4
_DENIALS = {
    KafkaError._AUTHENTICATION: (  # noqa: SLF001
        "check sasl.mechanism, sasl.username and sasl.password in STREAM_KAFKA_CONFIG"
    ),
    KafkaError._SSL: "check security.protocol and ssl.ca.location in STREAM_KAFKA_CONFIG",  # noqa: SLF001
}

Options = dict[str, Any]  # librdkafka's own names and values, callbacks among them


class Admin(AdminClient):
    """An admin client that remembers why it was not let in: its calls only time out then."""

    def __init__(self, options: Options) -> None:
        self._errors: deque[KafkaError] = deque(maxlen=_ERRORS_KEPT)
        noting: Options = {**options, "error_cb": self._errors.append}
        super().__init__(noting)

    def denial(self, times: int = 1) -> Refused | None:
        """Return why the broker does not let us in, if that is what it has done, `times` or more."""
        self.poll(0)  # calls error_cb
        denials = [error for error in self._errors if error.code() in _DENIALS]
        if len(denials) < times:
            return None
        last = denials[-1]
        return Refused(f"Kafka does not let us in: {describe(last)}", _DENIALS[last.code()])

    def awaited(self, asked: Mapping[Any, Future[Any]]) -> Mapping[Any, Future[Any]]:
        """Wait for answers, but not until they time out where the broker does not let us in.

        Raises:
            Refused: it does not, and did not again; once may be a broker that is just starting.
        """
        while wait(asked.values(), _LOOK_S).not_done:
            if denied := self.denial(_DENIED_TIMES):
                raise denied
        return asked


def told(options: Options, interval_ms: int, take: Callable[[str], None]) -> Options:
    """Return the options, with librdkafka's statistics given to `take` as JSON, by the calls that poll."""
    return {**options, "statistics.interval.ms": interval_ms, "stats_cb": take}


def common_options(settings: Settings) -> Options:
    """Return what all clients share; STREAM_KAFKA_CONFIG is in it."""
    return {
        "client.id": settings.instance_id or "anagram-stream",
        "log.connection.close": False,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1_000,
        # A broker that is stopped in order is else thrown away, and a transactional call that was under way
        # to it never returns, whatever its timeout (librdkafka#5511).
        "metadata.recovery.strategy": "none",
        **settings.client_config,
        "bootstrap.servers": settings.bootstrap_servers,
        "logger": _LOG,
        "error_cb": _ignore,
    }


def member_options(settings: Settings, instance_id: str) -> Options:
    """Return the options of the consumer that is a member of the group."""
    classic: Options = {
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": settings.client_config.get("session.timeout.ms", SESSION_TIMEOUT_MS),
    }
    static: Options = {"group.instance.id": f"{settings.group_id}-{instance_id}"}
    return {
        **common_options(settings),
        **_reading(settings),
        "group.protocol": settings.group_protocol,
        "max.poll.interval.ms": MAX_POLL_INTERVAL_MS,
        "enable.partition.eof": False,
        **(classic if settings.group_protocol == "classic" else {}),
        **(static if settings.static_membership else {}),
    }


def reader_options(settings: Settings) -> Options:
    """Return the options of a consumer that is assigned by hand and commits nothing."""
    options = {**common_options(settings), **_reading(settings), "enable.partition.eof": True}
    options.pop("session.timeout.ms", None)
    return options


def _reading(settings: Settings) -> Options:
    return {
        "group.id": settings.group_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",  # where to begin is ours to say, also after a loss of offsets
        "isolation.level": "read_committed",
        "check.crcs": True,
        "queued.max.messages.kbytes": _prefetch_kib(settings),
        "queued.min.messages": _PREFETCH_RECORDS,
        "fetch.queue.backoff.ms": 10,  # the default of 1 s stalls a reader that keeps up
        "fetch.message.max.bytes": 2 * 1024 * 1024,
    }


def _prefetch_kib(settings: Settings) -> int:
    """Return how much is fetched ahead while a batch is worked on: a part of the next."""
    return min(_PREFETCH_KIB_MAX, max(_PREFETCH_KIB_MIN, settings.batch_bytes_max // 2048))


def transactional_options(settings: Settings, instance_id: str, batch_bytes_max: int) -> Options:
    """Return the transactional producer's options. Timeouts nest: message <= transaction, socket below."""
    timeout_ms = settings.transaction_timeout_ms
    return {
        **common_options(settings),
        **_producing(settings),
        "transactional.id": f"{settings.group_id}-{instance_id}",
        "transaction.timeout.ms": timeout_ms,
        "message.timeout.ms": timeout_ms,
        "socket.timeout.ms": timeout_ms - 100,
        "batch.size": batch_bytes_max,
        # Full where the broker is slow: then counting waits for it, and a batch ends early.
        "queue.buffering.max.kbytes": max(_QUEUE_KIB, 2 * message_bytes_max(settings) // 1024),
        "retry.backoff.ms": 20,  # what CONCURRENT_TRANSACTIONS waits between two transactions
    }


def producer_options(settings: Settings) -> Options:
    """Return the options of the plain producer of `produce` and `demo`."""
    return {**common_options(settings), **_producing(settings)}


def message_bytes_max(settings: Settings) -> int:
    """Return the longest record that our producers send, key, headers and framing counted."""
    return max(settings.text_bytes_max, settings.result_bytes_max) + 2 * FRAMING_BYTES_MAX


def _producing(settings: Settings) -> Options:
    return {
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": 5,
        "message.max.bytes": message_bytes_max(settings),
        "queue.buffering.max.messages": 1_000_000,
    }


def make_consumer(options: Options) -> Consumer:
    """Make a consumer.

    Raises:
        Misconfigured: an option that librdkafka does not take.
    """
    try:
        return Consumer(options)
    except (KafkaException, TypeError, ValueError) as error:
        raise _bad_option(error) from error


def make_producer(options: Options) -> Producer:
    """Make a producer.

    Raises:
        Misconfigured: an option that librdkafka does not take.
    """
    try:
        return Producer(options)
    except (KafkaException, TypeError, ValueError) as error:
        raise _bad_option(error) from error


def make_admin(settings: Settings) -> Admin:
    """Make an admin client.

    Raises:
        Misconfigured: an option that librdkafka does not take.
    """
    try:
        return Admin(common_options(settings))
    except (KafkaException, TypeError, ValueError) as error:
        raise _bad_option(error) from error


def _bad_option(error: Exception) -> Misconfigured:
    why = describe(kafka_error(error)) if isinstance(error, KafkaException) else str(error)
    return Misconfigured(f"librdkafka does not take the options: {why}", "correct STREAM_KAFKA_CONFIG")


def _ignore(_: Mapping[str, Any] | object) -> None:
    """Errors of the client as a whole come back from the calls that they make fail."""
