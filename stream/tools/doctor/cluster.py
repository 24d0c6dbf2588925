"""Checks of the cluster: connection, versions, topics, group, transactions, clock."""

import time
from collections.abc import Mapping

from stream.client_properties import SESSION_TIMEOUT_MS
from stream.config import Settings
from stream.core.group_protocol import CONSUMER, choose_protocol
from stream.errors import Fatal, StreamError
from stream.kafka import topics
from stream.kafka.clients import Admin, make_admin, reader_options, transactional_options
from stream.kafka.failure import ACCESS_HINT
from stream.kafka.group_protocol import broker_configs, broker_ids, needs_classic, read_group_facts
from stream.kafka.topics import TopicFacts
from stream.tools.doctor import topic_checks
from stream.tools.doctor.findings import Finding, Findings, failed, ok, skipped, warning
from stream.tools.kafka.brokers import client_versions, newest_timestamp_ms, try_transactions
from stream.tools.kafka.group import Group, PartitionLag, group_configs, group_lag
from stream.tools.offsets.facts import read_refusals

TRANSACTIONS_TIMEOUT_S = 10.0
CLOCK_AHEAD_S_MAX = 5.0
AFTER_CONNECTION = ("brokers", "topics", "group", "transactions", "clock")


def examine(settings: Settings) -> Findings:
    """Check the cluster; if no broker responds, report the remaining checks as skipped."""
    confluent, librdkafka = client_versions()
    yield ok("client", f"confluent-kafka {confluent}, librdkafka {librdkafka}")
    try:
        admin = make_admin(settings)
        brokers = broker_ids(admin)
    except StreamError as error:
        servers = settings.bootstrap_servers
        hint = "set STREAM_BOOTSTRAP_SERVERS, or start a broker with: anagram-stream broker"
        yield failed("reach", f"{servers}: {error}", getattr(error, "hint", "") or hint)
        yield from (skipped(check, "no broker responds") for check in AFTER_CONNECTION)
        return
    yield ok("reach", f"{settings.bootstrap_servers}, {len(brokers)} broker{'s' * (len(brokers) > 1)}")
    yield from _brokers(admin, brokers, settings)
    try:
        facts = topics.describe(admin, settings)
    except StreamError as error:
        yield failed("topics", str(error), getattr(error, "hint", "") or "anagram-stream topics check")
        yield from (skipped(check, "the topics could not be described") for check in AFTER_CONNECTION[2:])
        return
    yield from topic_checks.examine(facts, settings, len(brokers))
    yield from _group(admin, facts, settings)
    yield _transactions(settings, facts)
    yield _clock(admin, facts)


def _brokers(admin: Admin, brokers: list[int], settings: Settings) -> Findings:
    try:
        configs = broker_configs(admin, brokers[0])
    except StreamError as error:
        yield skipped("brokers", f"the brokers do not return their configuration ({error})")
        return
    yield _protocol(admin, settings)
    timeout_max = int(configs.get("transaction.max.timeout.ms", "900000"))
    if settings.transaction_timeout_ms > timeout_max:
        yield failed(
            "transaction timeout",
            f"{settings.transaction_timeout_ms} ms; the brokers allow up to {timeout_max}",
            f"set STREAM_TRANSACTION_TIMEOUT_MS={timeout_max} or less",
        )
    else:
        yield ok(
            "transaction timeout",
            f"{settings.transaction_timeout_ms} ms; the brokers allow up to {timeout_max}",
        )
    yield from _session(configs, settings)
    yield from _retention(configs, len(brokers))


def _protocol(admin: Admin, settings: Settings) -> Finding:
    try:
        facts = read_group_facts(admin, settings.group_id)
        protocol, why = choose_protocol(settings.group_protocol, facts, needs_classic=needs_classic(settings))
    except StreamError as error:
        return failed("group protocol", str(error), getattr(error, "hint", ""))
    return ok("group protocol", f"{protocol}: {why}")


def _session(configs: Mapping[str, str], settings: Settings) -> Findings:
    if settings.group_protocol == CONSUMER:
        return
    session = int(settings.client_config.get("session.timeout.ms", SESSION_TIMEOUT_MS))
    least = int(configs.get("group.min.session.timeout.ms", "0"))
    most = int(configs.get("group.max.session.timeout.ms", str(session)))
    if least <= session <= most:
        yield ok("session", f"{session} ms; the brokers allow {least} to {most}")
    else:
        yield failed(
            "session",
            f"{session} ms; the brokers allow {least} to {most}",
            f"set session.timeout.ms in STREAM_KAFKA_CONFIG to {least} to {most}",
        )


def _retention(configs: Mapping[str, str], brokers: int) -> Findings:
    """Check Kafka's internal topics, which store offsets and transactions."""
    for name in ("offsets.topic.replication.factor", "transaction.state.log.replication.factor"):
        if brokers > 1 and configs.get(name) == "1":
            yield warning(
                "brokers",
                f"{name}=1: the topic is lost if one disk fails",
                f"set {name}=3 before the brokers first start",
            )
    minutes = int(configs.get("offsets.retention.minutes", "10080"))
    if minutes < 24 * 60:
        yield warning(
            "brokers",
            f"offsets.retention.minutes={minutes}: a group that is down longer loses its committed offsets",
            "set offsets.retention.minutes=10080 on the brokers",
        )


def _group(admin: Admin, facts: Mapping[str, TopicFacts], settings: Settings) -> Findings:
    if "input" not in facts:
        yield skipped("group", "the input topic is missing")
        return
    try:
        group, partitions = group_lag(
            admin, reader_options(settings), settings.group_id, settings.input_topic
        )
    except Fatal as error:
        yield failed("group", str(error), ACCESS_HINT)
        return
    except StreamError as error:
        yield failed("group", str(error), "run anagram-stream lag to see whether the error persists")
        return
    yield _membership(group, settings, _session_of(admin, group, settings))
    yield from _offsets(admin, partitions, settings)


def _session_of(admin: Admin, group: Group, settings: Settings) -> str:
    try:
        session_ms = group_configs(admin, settings.group_id).get("consumer.session.timeout.ms", "")
    except StreamError:
        return ""
    by_broker = f", session {session_ms} ms" if session_ms else ""
    return by_broker if group.protocol == CONSUMER else ""


def _membership(group: Group, settings: Settings, session: str) -> Finding:
    check, n = f"group {settings.group_id}", len(group.members)
    if group.operations is not None and "read" not in group.operations:
        return failed(check, "Kafka does not grant Read on the group", ACCESS_HINT)
    members = f"{n} member{'s' * (n != 1)}"
    return ok(check, "new" if group.state == "dead" else f"{group.state}, {members}{session}")


def _offsets(admin: Admin, partitions: list[PartitionLag], settings: Settings) -> Findings:
    """Check that offsets, totals and logs belong together, by the rule of the worker."""
    check = "committed offsets"
    try:
        refused = read_refusals(settings, admin, topics.check(admin, settings))
    except StreamError as error:
        yield skipped(check, str(error))
        return
    yield from (failed(check, str(refusal), refusal.hint) for refusal in refused)
    if not refused:
        n, total = sum(lag.committed is not None for lag in partitions), sum(lag.lag for lag in partitions)
        yield ok(check, f"in {n} of {len(partitions)} partitions, matching totals and logs; lag {total:,}")


def _transactions(settings: Settings, facts: Mapping[str, TopicFacts]) -> Finding:
    """Initialize a transactional producer, which needs the coordinator and access to the transactional id."""
    if len(facts) < len(topics.names(settings)):
        return skipped("transactions", "topics are missing")
    options = transactional_options(settings, "doctor", 1_000_000)
    try:
        seconds = try_transactions(options, f"{settings.group_id}-doctor", TRANSACTIONS_TIMEOUT_S)
    except StreamError as error:
        hint = "set transaction.state.log.replication.factor and .min.isr to the number of brokers or less"
        return failed("transactions", str(error), getattr(error, "hint", "") or hint)
    return ok("transactions", f"transactional producer initialized in {seconds:.2f} s")


def _clock(admin: Admin, facts: Mapping[str, TopicFacts]) -> Finding:
    """Check the clock against input timestamps: Kafka does not report the time of its brokers."""
    if "input" not in facts:
        return skipped("clock", "the input topic is missing")
    try:
        newest_ms = newest_timestamp_ms(admin, facts["input"].name, range(facts["input"].partitions))
    except StreamError as error:
        return skipped("clock", str(error))
    ahead_s = newest_ms / 1000 - time.time()
    if ahead_s > CLOCK_AHEAD_S_MAX:
        return warning(
            "clock",
            f"the newest input record is {ahead_s:.0f} s ahead of this machine: lag in seconds will be wrong",
            "synchronize the clock of this machine (timedatectl set-ntp true) or of the producer with NTP",
        )
    return ok("clock", "no input record has a timestamp in the future")
