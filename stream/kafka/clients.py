"""The options of every Kafka client. Those that exactness depends on are explicit, not left to defaults."""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from stream.client_properties import CLASSIC_ONLY, HEARTBEAT_MS, SESSION_TIMEOUT_MS
from stream.config import MAX_POLL_INTERVAL_MS, Settings
from stream.errors import Misconfigured, Refused
from stream.kafka.failure import describe, kafka_error

# Silent unless STREAM_KAFKA_CONFIG sets `debug`: everything that matters is also reported as an error.
_LOG = logging.getLogger("librdkafka")
_LOG.addHandler(logging.NullHandler())
_LOG.propagate = False
FRAMING_BYTES_MAX = 64 * 1024  # the most that key, headers and framing add to a text or a result
_PREFETCH_KIB_MIN, _PREFETCH_KIB_MAX = 1024, 4 * 1024  # larger values took memory and saved no time
_PREFETCH_RECORDS = 10_000  # per partition: short records take more memory than their bytes
_QUEUE_KIB = 16 * 1024
_ERRORS_KEPT = 50
_DENIAL_CHECK_S, _DENIALS_MIN = 0.2, 4
_DENIALS = {
    KafkaError._AUTHENTICATION: (  # noqa: SLF001
        "check sasl.mechanism, sasl.username and sasl.password in STREAM_KAFKA_CONFIG"
    ),
    KafkaError._SSL: "check security.protocol and ssl.ca.location in STREAM_KAFKA_CONFIG",  # noqa: SLF001
}

Options = dict[str, Any]  # librdkafka's own names and values, including callbacks


class Admin(AdminClient):
    """An admin client that records why Kafka rejected its connections; its calls would only time out."""

    def __init__(self, options: Options) -> None:
        self._errors: deque[KafkaError] = deque(maxlen=_ERRORS_KEPT)
        collecting: Options = {**options, "error_cb": self._errors.append}
        super().__init__(collecting)

    def denial(self, times: int = 1) -> Refused | None:
        """Return why Kafka rejected the connection, if it did so at least `times` times."""
        self.poll(0)  # calls error_cb
        denials = [error for error in self._errors if error.code() in _DENIALS]
        if len(denials) < times:
            return None
        last = denials[-1]
        return Refused(f"Kafka rejected the connection: {describe(last)}", _DENIALS[last.code()])

    def wait_for(self, futures: Mapping[Any, Future[Any]]) -> Mapping[Any, Future[Any]]:
        """Wait until the futures are done; do not wait for their timeout if Kafka rejects the connection.

        Raises:
            Refused: Kafka rejected the connection several times; a broker that starts up may reject it once.
        """
        while wait(futures.values(), _DENIAL_CHECK_S).not_done:
            if denial := self.denial(_DENIALS_MIN):
                raise denial
        return futures


def with_statistics(options: Options, interval_ms: int, on_statistics: Callable[[str], None]) -> Options:
    """Return the options plus a callback for librdkafka's statistics (JSON), called during polls."""
    return {**options, "statistics.interval.ms": interval_ms, "stats_cb": on_statistics}


def common_options(settings: Settings) -> Options:
    """Return the options that all clients share, including those of STREAM_KAFKA_CONFIG."""
    return {
        "client.id": settings.instance_id or "anagram-stream",
        "log.connection.close": False,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1_000,
        # With another strategy a client that lost all its brokers drops them, and a transactional call in
        # flight does not return, whatever its timeout (librdkafka#5511).
        "metadata.recovery.strategy": "none",
        # Decision 22. Clients soon notice that a partition has a new leader. A coordinator that was unused
        # for the max age is looked up again, because brokers that left the cluster are dropped.
        "topic.metadata.refresh.interval.ms": 2_500,
        "metadata.max.age.ms": 5_000,
        **settings.client_config,
        # By default, producers and admin clients create a topic when they only look it up, on a broker with
        # `auto.create.topics.enable`.
        "allow.auto.create.topics": False,
        "bootstrap.servers": settings.bootstrap_servers,
        "logger": _LOG,
        "error_cb": _ignore,
    }


def member_options(settings: Settings, instance_id: str, protocol: str) -> Options:
    """Return the options of the consumer that joins the group.

    Under `classic` every member is static (KIP-345): a worker that was killed and restarted is the same
    member and gets its partitions at once. Under `consumer` the broker refuses it until the session expires.
    """
    classic: Options = {
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": settings.client_config.get("session.timeout.ms", SESSION_TIMEOUT_MS),
        "heartbeat.interval.ms": settings.client_config.get("heartbeat.interval.ms", HEARTBEAT_MS),
        "group.instance.id": f"{settings.group_id}-{instance_id}",
    }
    return {
        **common_options(settings),
        **_consumer_options(settings),
        "group.protocol": protocol,
        "max.poll.interval.ms": MAX_POLL_INTERVAL_MS,
        "enable.partition.eof": False,
        **(classic if protocol == "classic" else {}),
    }


def reader_options(settings: Settings) -> Options:
    """Return the options of a consumer that assigns its partitions itself and commits nothing."""
    options = {**common_options(settings), **_consumer_options(settings), "enable.partition.eof": True}
    return {name: value for name, value in options.items() if name not in CLASSIC_ONLY}


def _consumer_options(settings: Settings) -> Options:
    return {
        "group.id": settings.group_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",  # the worker decides where to start, even if offsets are lost
        "isolation.level": "read_committed",
        "check.crcs": True,
        "queued.max.messages.kbytes": _prefetch_kib(settings),
        "queued.min.messages": _PREFETCH_RECORDS,
        "fetch.queue.backoff.ms": 10,  # the default of 1 s stalls a reader that keeps up
        "fetch.message.max.bytes": 2 * 1024 * 1024,
    }


def _prefetch_kib(settings: Settings) -> int:
    """Return how many KiB to prefetch while a batch is processed: a part of the next batch."""
    return min(_PREFETCH_KIB_MAX, max(_PREFETCH_KIB_MIN, settings.batch_bytes_max // 2048))


def transactional_options(settings: Settings, instance_id: str, batch_bytes_max: int) -> Options:
    """Return the transactional producer's options. Timeouts nest: socket < message <= transaction."""
    timeout_ms = settings.transaction_timeout_ms
    return {
        **common_options(settings),
        **_producer_options(settings),
        "transactional.id": f"{settings.group_id}-{instance_id}",
        "transaction.timeout.ms": timeout_ms,
        "message.timeout.ms": timeout_ms,
        "socket.timeout.ms": timeout_ms - 100,
        "batch.size": batch_bytes_max,
        # A slow broker fills the queue: then processing waits for it, and a batch ends early.
        "queue.buffering.max.kbytes": max(_QUEUE_KIB, 2 * message_bytes_max(settings) // 1024),
        # Decision 22. A call that waits for a dropped coordinator looks it up when any connection closes, so
        # idle ones are closed. One that waits for a response is idle, too: less time would cut slow requests.
        "connections.max.idle.ms": max(4_000, timeout_ms * 4 // 10),
        "retry.backoff.ms": 20,  # the wait after CONCURRENT_TRANSACTIONS between two transactions
    }


def producer_options(settings: Settings) -> Options:
    """Return the options of a producer without transactions, for `produce` and `demo`."""
    return {**common_options(settings), **_producer_options(settings)}


def message_bytes_max(settings: Settings) -> int:
    """Return the size of the largest record that a producer sends, with key, headers and framing."""
    return max(settings.text_bytes_max, settings.result_bytes_max) + 2 * FRAMING_BYTES_MAX


def _producer_options(settings: Settings) -> Options:
    return {
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": 5,
        "message.max.bytes": message_bytes_max(settings),
        "queue.buffering.max.messages": 1_000_000,
    }


def make_consumer(options: Options) -> Consumer:
    """Create a consumer.

    Raises:
        Misconfigured: librdkafka does not accept an option.
    """
    try:
        return Consumer(options)
    except (KafkaException, TypeError, ValueError) as error:
        raise _bad_option(error) from error


def make_producer(options: Options) -> Producer:
    """Create a producer.

    Raises:
        Misconfigured: librdkafka does not accept an option.
    """
    try:
        return Producer(options)
    except (KafkaException, TypeError, ValueError) as error:
        raise _bad_option(error) from error


def make_admin(settings: Settings) -> Admin:
    """Create an admin client.

    Raises:
        Misconfigured: librdkafka does not accept an option.
    """
    try:
        return Admin(common_options(settings))
    except (KafkaException, TypeError, ValueError) as error:
        raise _bad_option(error) from error


def _bad_option(error: Exception) -> Misconfigured:
    why = describe(kafka_error(error)) if isinstance(error, KafkaException) else str(error)
    return Misconfigured(f"librdkafka does not accept the options: {why}", "correct STREAM_KAFKA_CONFIG")


def _ignore(_: Mapping[str, Any] | object) -> None:
    """Ignore errors of the client as a whole: the calls that they affect report them too."""
