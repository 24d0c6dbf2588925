"""Reads the properties of Kafka clients, without those that exactness depends on; checks their timeouts."""

from collections.abc import Mapping
from pathlib import Path

SESSION_TIMEOUT_MS = 45_000  # Kafka's default; under the classic protocol the client sets it
HEARTBEAT_MS = 500  # how soon a member learns of a rebalance; decision 18 has the figures
CLASSIC_ONLY = frozenset({"session.timeout.ms", "heartbeat.interval.ms"})  # otherwise the broker sets them
# The worker sets these itself: exactness, bounded waits or bounded memory depend on them.
FORBIDDEN_KAFKA_CONFIG = frozenset(
    {
        "acks", "allow.auto.create.topics", "auto.commit.enable", "auto.commit.interval.ms",
        "auto.offset.reset", "batch.size", "bootstrap.servers", "check.crcs", "connections.max.idle.ms",
        "delivery.report.only.error", "delivery.timeout.ms",
        "enable.auto.commit", "enable.auto.offset.store", "enable.idempotence",
        "enable.partition.eof", "fetch.message.max.bytes", "fetch.queue.backoff.ms", "group.id",
        "group.instance.id", "group.protocol", "isolation.level", "linger.ms", "max.partition.fetch.bytes",
        "max.in.flight", "max.in.flight.requests.per.connection", "max.poll.interval.ms", "message.max.bytes",
        "message.send.max.retries", "message.timeout.ms", "metadata.broker.list",
        "metadata.recovery.strategy", "partition.assignment.strategy", "queue.buffering.max.kbytes",
        "queue.buffering.max.messages", "queue.buffering.max.ms", "queued.max.messages.kbytes",
        "queued.min.messages", "request.required.acks", "retries", "retry.backoff.ms", "socket.timeout.ms",
        "statistics.interval.ms", "transaction.timeout.ms", "transactional.id",
    }
)  # fmt: skip
_FORBIDDEN_SUFFIX = "_cb"  # functions, not values
_FORBIDDEN_PREFIXES = ("test.mock.", "default.topic.config", "plugin.library.paths")


def read_properties(path: Path) -> dict[str, str]:
    """Read a properties file: lines of `name=value`; `#` or `!` starts a comment.

    Raises:
        ValueError: the file is not readable, a line has another form, or it sets a forbidden name.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"KAFKA_CONFIG: cannot read {path}: {error}") from error
    properties: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#!":
            continue
        name, equals, value = stripped.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ValueError(f"KAFKA_CONFIG: line {number} of {path} is not of the form name=value")
        if (
            name in FORBIDDEN_KAFKA_CONFIG
            or name.startswith(_FORBIDDEN_PREFIXES)
            or name.endswith(_FORBIDDEN_SUFFIX)
        ):
            raise ValueError(
                f"KAFKA_CONFIG: line {number} of {path}: {name} is set by the worker; remove the line"
            )
        properties[name] = value.strip()
    return properties


def check_session(properties: Mapping[str, str], group_protocol: str, transaction_timeout_ms: int) -> None:
    """Check that a session outlasts a transaction and three heartbeats; under `classic` the client sets it.

    Raises:
        ValueError: they do not nest, or the broker would set them.
    """
    if group_protocol == "consumer":
        for name in CLASSIC_ONLY & properties.keys():
            raise ValueError(
                f"{name} in KAFKA_CONFIG needs GROUP_PROTOCOL=classic or auto: under the consumer "
                f"protocol the broker sets it (group.consumer.{name})"
            )
        return
    session_ms = _milliseconds(properties.get("session.timeout.ms"), SESSION_TIMEOUT_MS)
    if session_ms <= transaction_timeout_ms:
        raise ValueError(
            f"session.timeout.ms in KAFKA_CONFIG ({SESSION_TIMEOUT_MS} by default) must exceed "
            "TRANSACTION_TIMEOUT_MS"
        )
    heartbeat_ms = _milliseconds(properties.get("heartbeat.interval.ms"), HEARTBEAT_MS)
    if not 0 < 3 * heartbeat_ms <= session_ms:
        raise ValueError(
            f"heartbeat.interval.ms in KAFKA_CONFIG ({HEARTBEAT_MS} by default) must be at least 1, at most "
            "a third of session.timeout.ms: a member whose heartbeats come later is removed from the group"
        )


def _milliseconds(given: str | None, default: int) -> int:
    if given is None:
        return default
    return int(given) if given.isdecimal() else 0
