"""What the cluster must be and grant: reachable, of a version, topics, group, transactions."""

import time
from collections.abc import Mapping

from stream.config import SESSION_TIMEOUT_MS, Settings
from stream.errors import Fatal, StreamError
from stream.kafka import topics
from stream.kafka.access import worker_needs
from stream.kafka.clients import Admin, make_admin, reader_options, transactional_options
from stream.kafka.failure import ACCESS_HINT
from stream.kafka.topics import TopicFacts
from stream.tools.doctor import topic_checks
from stream.tools.doctor.findings import Finding, Findings, failed, ok, skipped, warning
from stream.tools.kafka.brokers import (
    broker_configs,
    broker_ids,
    client_versions,
    newest_timestamp_ms,
    try_transactions,
)
from stream.tools.kafka.group import Group, PartitionLag, behind, group_configs

TRANSACTIONS_S_MAX = 10.0
AHEAD_S_MAX = 5.0
LATER = ("brokers", "topics", "group", "transactions", "clock")


def examine(settings: Settings) -> Findings:
    """Look at all of it; where no broker answers, say what was not looked at."""
    confluent, librdkafka = client_versions()
    yield ok("client", f"confluent-kafka {confluent}, librdkafka {librdkafka}")
    try:
        admin = make_admin(settings)
        brokers = broker_ids(admin)
    except StreamError as error:
        servers = settings.bootstrap_servers
        hint = "set STREAM_BOOTSTRAP_SERVERS, or start a broker with: anagram-stream broker"
        yield failed("reach", f"{servers}: {error}", getattr(error, "hint", "") or hint)
        yield from (skipped(check, "no broker answers") for check in LATER)
        return
    yield ok("reach", f"{settings.bootstrap_servers}, {len(brokers)} broker{'s' * (len(brokers) > 1)}")
    yield from _brokers(admin, brokers, settings)
    try:
        found = topics.look(admin, settings)
    except StreamError as error:
        yield failed("topics", str(error), getattr(error, "hint", "") or "anagram-stream topics check")
        yield from (skipped(check, "the topics could not be looked at") for check in LATER[2:])
        return
    yield from topic_checks.examine(found, settings, len(brokers))
    yield from _group(admin, found, settings)
    yield _transactions(settings, found)
    yield _clock(admin, found)


def _brokers(admin: Admin, brokers: list[int], settings: Settings) -> Findings:
    try:
        configs = broker_configs(admin, brokers[0])
    except StreamError as error:
        yield skipped("brokers", f"they do not tell their configuration ({error})")
        return
    known = configs.get("group.coordinator.rebalance.protocols", "classic").split(",")
    if settings.group_protocol not in known:
        yield failed(
            "group protocol",
            f"the brokers know {', '.join(known)}, not {settings.group_protocol}",
            "set STREAM_GROUP_PROTOCOL=classic (`consumer` needs Kafka 4.0 or later)",
        )
    else:
        yield ok("group protocol", f"{settings.group_protocol}, of {', '.join(known)}")
    longest = int(configs.get("transaction.max.timeout.ms", "900000"))
    if settings.transaction_timeout_ms > longest:
        yield failed(
            "transaction timeout",
            f"{settings.transaction_timeout_ms} ms, the brokers allow {longest}",
            f"set STREAM_TRANSACTION_TIMEOUT_MS={longest} or less",
        )
    else:
        yield ok("transaction timeout", f"{settings.transaction_timeout_ms} ms, the brokers allow {longest}")
    yield from _session(configs, settings)
    yield from _kept(configs, len(brokers))


def _session(configs: Mapping[str, str], settings: Settings) -> Findings:
    if settings.group_protocol != "classic":
        return
    session = int(settings.client_config.get("session.timeout.ms", SESSION_TIMEOUT_MS))
    least = int(configs.get("group.min.session.timeout.ms", "0"))
    most = int(configs.get("group.max.session.timeout.ms", str(session)))
    if least <= session <= most:
        yield ok("session", f"{session} ms, the brokers allow {least} to {most}")
    else:
        yield failed(
            "session",
            f"{session} ms, the brokers allow {least} to {most}",
            f"set session.timeout.ms in STREAM_KAFKA_CONFIG to {least} to {most}",
        )


def _kept(configs: Mapping[str, str], brokers: int) -> Findings:
    """Kafka's own topics, in which offsets and transactions live."""
    for name in ("offsets.topic.replication.factor", "transaction.state.log.replication.factor"):
        if brokers > 1 and configs.get(name) == "1":
            yield warning(
                "brokers", f"{name}=1: a lost disk loses it", f"set {name}=3 before the first start"
            )
    minutes = int(configs.get("offsets.retention.minutes", "10080"))
    if minutes < 24 * 60:
        yield warning(
            "brokers",
            f"offsets.retention.minutes={minutes}: a group that is down for longer loses its place",
            "set offsets.retention.minutes=10080 at the brokers",
        )


def _group(admin: Admin, found: Mapping[str, TopicFacts], settings: Settings) -> Findings:
    if "input" not in found:
        yield skipped("group", "there is no input topic")
        return
    try:
        group, partitions = behind(admin, reader_options(settings), settings.group_id, settings.input_topic)
    except Fatal as error:
        need = next(need for need in worker_needs(settings) if need.resource == "group")
        yield failed("group", str(error), need.command(settings.bootstrap_servers, topic_checks.PRINCIPAL))
        return
    except StreamError as error:
        yield failed("group", str(error), "anagram-stream lag, to see whether it lasts")
        return
    yield _membership(group, settings, _session_of(admin, settings))
    yield from _offsets(partitions, settings)


def _session_of(admin: Admin, settings: Settings) -> str:
    try:
        session_ms = group_configs(admin, settings.group_id).get("consumer.session.timeout.ms", "")
    except StreamError:
        return ""
    by_broker = f", session {session_ms} ms" if session_ms else ""
    return by_broker if settings.group_protocol == "consumer" else ""


def _membership(group: Group, settings: Settings, session: str) -> Finding:
    check, n = f"group {settings.group_id}", len(group.members)
    if n and group.protocol != settings.group_protocol:
        return failed(
            check,
            f"{n} members speak {group.protocol}, STREAM_GROUP_PROTOCOL is {settings.group_protocol}",
            f"set STREAM_GROUP_PROTOCOL={group.protocol}, or stop those first",
        )
    if group.operations is not None and "read" not in group.operations:
        need = next(need for need in worker_needs(settings) if need.resource == "group")
        return failed(
            check,
            "Kafka does not grant Read",
            need.command(settings.bootstrap_servers, topic_checks.PRINCIPAL) + "  # your principal",
        )
    return ok(check, "new" if group.state == "dead" else f"{group.state}, {n} members{session}")


def _offsets(partitions: list[PartitionLag], settings: Settings) -> Findings:
    """Committed offsets against what the log still holds."""
    topic, lost = settings.input_topic, False
    for at in partitions:
        if at.committed is None or at.first <= at.committed <= at.end:
            continue
        lost = True
        gone = (
            f"the log begins at {at.first}: {at.first - at.committed} offsets were never counted (retention)"
            if at.committed < at.first
            else f"the log ends at {at.end} (made anew?)"
        )
        reset = (
            f"kafka-consumer-groups.sh --bootstrap-server {settings.bootstrap_servers} --group "
            f"{settings.group_id} --topic {topic}:{at.partition} --reset-offsets --to-earliest --execute"
        )
        start_over = "start over under new names (STREAM_GROUP_ID, STREAM_RESULT_TOPIC, STREAM_COUNT_TOPIC)"
        yield failed(
            "committed offsets",
            f"{topic}, partition {at.partition}: committed {at.committed}, {gone}",
            f"accept the loss: {reset}" if at.committed < at.first else start_over,
        )
    if not lost:
        n = sum(at.committed is not None for at in partitions)
        total = sum(at.lag for at in partitions)
        yield ok("committed offsets", f"{n} of {len(partitions)} partitions, all in the log; lag {total:,}")


def _transactions(settings: Settings, found: Mapping[str, TopicFacts]) -> Finding:
    """Only a try tells whether the coordinator works and the id may be used."""
    if len(found) < len(topics.names(settings)):
        return skipped("transactions", "topics are missing")
    options = transactional_options(settings, "doctor", 1_000_000)
    try:
        took_s = try_transactions(options, f"{settings.group_id}-doctor", TRANSACTIONS_S_MAX)
    except StreamError as error:
        denied = getattr(error, "hint", "") == ACCESS_HINT
        need = next(need for need in worker_needs(settings) if need.resource == "transactional-id")
        grant = need.command(settings.bootstrap_servers, topic_checks.PRINCIPAL) + "  # your principal"
        hint = "at the brokers: transaction.state.log.replication.factor and .min.isr, at most their number"
        return failed("transactions", str(error), grant if denied else hint)
    return ok("transactions", f"the coordinator gave an id out in {took_s:.2f} s")


def _clock(admin: Admin, found: Mapping[str, TopicFacts]) -> Finding:
    """Kafka does not tell the time; records from the future do."""
    if "input" not in found:
        return skipped("clock", "there is no input topic")
    try:
        newest_ms = newest_timestamp_ms(admin, found["input"].name, range(found["input"].partitions))
    except StreamError as error:
        return skipped("clock", str(error))
    ahead_s = newest_ms / 1000 - time.time()
    if ahead_s > AHEAD_S_MAX:
        return warning(
            "clock",
            f"the newest input record is {ahead_s:.0f} s ahead of this machine: lag in seconds will be wrong",
            "set this machine's clock by NTP (timedatectl set-ntp true), or the producer's",
        )
    return ok("clock", "no input record is from the future")
