"""Describes and checks the four topics."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from confluent_kafka import TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclOperation,
    ConfigResource,
)

from stream.config import Settings
from stream.core.dead_letter import OVERHEAD_BYTES_MAX
from stream.core.event_time import DEAD_LETTER_HEADER, FOREVER_MS, TimestampLimits
from stream.core.evidence import TopicIds
from stream.errors import Refused, Retriable
from stream.kafka.clients import FRAMING_BYTES_MAX, Admin
from stream.kafka.futures import existing_results, result_of

REQUEST_TIMEOUT_S = 10.0
COUNT_SEGMENT_BYTES = 16 * 1024 * 1024
CREATE = "anagram-stream topics create"
REPAIR = "anagram-stream topics create --repair"
WITHOUT: Mapping[str, str] = {
    "max.message.bytes": "the cluster rejects records above its own limit",
    "segment.bytes": "a restore reads more uncompacted totals",
    "cleanup.policy": "the policy of the cluster applies",
    "message.timestamp.before.max.ms": "the cluster limits how old a dead letter may be",
    "message.timestamp.after.max.ms": "the cluster limits how far in the future a dead letter may be",
}
"""Topic setting -> what happens if the broker does not know or accept it."""
_BATCH_BYTES = 1_000_000  # librdkafka's default batch
_BATCH_FRAMING_BYTES = 128


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """The description of one existing topic.

    Attributes:
        operations: the operations that ACLs grant, in lower case; None if unknown.
        replicas: number of replicas of the partition that has the fewest.
        in_sync: number of in-sync replicas of the partition that has the fewest.
        leaderless: number of partitions without a leader.
    """

    name: str
    id: str
    partitions: int
    configs: Mapping[str, str]
    operations: frozenset[str] | None = None
    replicas: int = 1
    in_sync: int = 1
    leaderless: int = 0

    @property
    def record_bytes_max(self) -> int:
        """Size of the largest record that the topic accepts; the limit includes the framing of its batch."""
        return int(self.configs.get("max.message.bytes", "1048588")) - _BATCH_FRAMING_BYTES

    @property
    def timestamp_limits(self) -> TimestampLimits:
        """The timestamps that the topic accepts and keeps: retention deletes records by their timestamp."""
        configs = self.configs
        if configs.get("message.timestamp.type") == "LogAppendTime":  # the broker sets the timestamp
            return TimestampLimits()
        both = configs.get("message.timestamp.difference.max.ms", FOREVER_MS)  # before Kafka 4.0
        before_ms = min(int(both), int(configs.get("message.timestamp.before.max.ms", FOREVER_MS)))
        after_ms = min(int(both), int(configs.get("message.timestamp.after.max.ms", FOREVER_MS)))
        retention_ms = int(configs.get("retention.ms", -1))
        if retention_ms >= 0 and "delete" in configs.get("cleanup.policy", ""):
            before_ms = min(before_ms, retention_ms)
        return TimestampLimits(before_ms, after_ms)


@dataclass(frozen=True, slots=True)
class Topics:
    """The four topics, checked before a worker starts.

    Attributes:
        left_out: sentences about settings that the brokers do not know.
    """

    cluster_id: str
    input: TopicFacts
    result: TopicFacts
    count: TopicFacts
    dead_letter: TopicFacts
    warnings: Sequence[str] = field(default=())
    left_out: Sequence[str] = field(default=())

    @property
    def ids(self) -> TopicIds:
        """Role -> topic id."""
        return {
            "input": self.input.id,
            "result": self.result.id,
            "count": self.count.id,
            "dead-letter": self.dead_letter.id,
        }

    @property
    def batch_bytes_max(self) -> int:
        """Size of the largest batch that every output topic accepts."""
        return min(_BATCH_BYTES, *(t.record_bytes_max for t in (self.result, self.count, self.dead_letter)))


def names(settings: Settings) -> dict[str, str]:
    """Return role -> name of the four topics."""
    return {
        "input": settings.input_topic,
        "result": settings.result_topic,
        "count": settings.count_topic,
        "dead-letter": settings.dead_letter_topic,
    }


def wanted_configs(settings: Settings) -> dict[str, dict[str, str]]:
    """Return role -> the configuration that the topic should have."""
    text_bytes = settings.text_bytes_max + FRAMING_BYTES_MAX
    return {
        "input": {"max.message.bytes": str(text_bytes)},
        "result": {"max.message.bytes": str(settings.result_bytes_max + FRAMING_BYTES_MAX)},
        # Only full segments are compacted: with the default of 1 GiB a restore would read every total ever
        # written.
        "count": {"cleanup.policy": "compact", "segment.bytes": str(COUNT_SEGMENT_BYTES)},
        "dead-letter": {
            "cleanup.policy": "delete",
            "max.message.bytes": str(text_bytes + OVERHEAD_BYTES_MAX),
            "message.timestamp.before.max.ms": str(FOREVER_MS),  # a dead letter keeps its record's timestamp,
            "message.timestamp.after.max.ms": str(FOREVER_MS),  # even a wrong one
        },
    }


def describe(admin: Admin, settings: Settings) -> dict[str, TopicFacts]:
    """Return role -> description of those of the four topics that exist.

    Raises:
        Retriable: the broker is unavailable.
        Refused: Kafka denied access or rejected the connection.
    """
    by_role = names(settings)
    collection = TopicCollection(list(by_role.values()))
    try:
        described = existing_results(
            admin.wait_for(
                admin.describe_topics(
                    collection, request_timeout=REQUEST_TIMEOUT_S, include_authorized_operations=True
                )
            )
        )
    except Retriable as why:
        raise (admin.denial() or why) from why
    existing = {role: described[name] for role, name in by_role.items() if name in described}
    resources = {name: ConfigResource(ConfigResource.Type.TOPIC, name) for name in described}
    configs = {
        resource.name: {entry.name: entry.value for entry in entries.values()}
        for resource, entries in existing_results(
            admin.describe_configs(list(resources.values()), request_timeout=REQUEST_TIMEOUT_S)
            if resources
            else {}
        ).items()
    }
    return {
        role: TopicFacts(
            topic.name,
            str(topic.topic_id),
            len(topic.partitions),
            configs.get(topic.name, {}),
            _operations(topic.authorized_operations),
            min((len(each.replicas) for each in topic.partitions), default=0),
            min((len(each.isr) for each in topic.partitions), default=0),
            sum(each.leader is None or each.leader.id < 0 for each in topic.partitions),
        )
        for role, topic in existing.items()
    }


def _operations(authorized: Sequence[AclOperation] | None) -> frozenset[str] | None:
    return frozenset(each.name.replace("_", "").lower() for each in authorized) if authorized else None


def check(admin: Admin, settings: Settings) -> Topics:
    """Return the four topics if a worker can run on them.

    Raises:
        Retriable: the broker is unavailable.
        Refused: a topic is missing, Kafka denied access, or the count topic cannot serve as a changelog.
    """
    described = describe(admin, settings)
    missing = [name for role, name in names(settings).items() if role not in described]
    if missing:
        raise Refused("missing topics: " + ", ".join(missing), CREATE)
    count, source = described["count"], described["input"]
    policy = count.configs.get("cleanup.policy", "")
    if policy != "compact":
        raise Refused(
            f"{count.name} has cleanup.policy={policy}, which deletes totals; it must be exactly compact",
            f"{REPAIR} (or set STREAM_COUNT_TOPIC to a separate topic)",
        )
    for topic in (count, described["result"]):
        if topic.partitions < source.partitions:
            few = f"fewer partitions ({topic.partitions}) than the input ({source.partitions})"
            raise Refused(f"{topic.name} has {few}", CREATE)
    cluster_id = result_of(admin.describe_cluster(request_timeout=REQUEST_TIMEOUT_S)).cluster_id
    return Topics(
        cluster_id,
        source,
        described["result"],
        count,
        described["dead-letter"],
        _warnings(described, settings),
        [
            f"{topic.name}: {sentence}"
            for role, topic in described.items()
            for sentence in unknown_configs(role, topic, settings)
        ],
    )


def _warnings(topics: Mapping[str, TopicFacts], settings: Settings) -> list[str]:
    return [
        f"{topics[role].name}: {problem} ({REPAIR})"
        for role in wanted_configs(settings)
        for problem in config_problems(role, topics[role], settings)
    ]


def unknown_configs(role: str, topic: TopicFacts, settings: Settings) -> Iterator[str]:
    """Yield the settings that the brokers do not know, and the effect; nothing if they show no settings."""
    for name in wanted_configs(settings)[role] if topic.configs else ():
        if name not in topic.configs:
            yield f"{name} is omitted, because the brokers do not know it: {WITHOUT[name]}"


def config_problems(role: str, topic: TopicFacts, settings: Settings) -> Iterator[str]:
    """Yield what is wrong with the configuration of a topic; `topics create --repair` corrects it."""
    for name, wanted in wanted_configs(settings)[role].items():
        actual = topic.configs.get(name)
        if actual is None or actual == wanted:
            continue
        if name == "cleanup.policy" and role == "count":
            yield f"{name}={actual}: totals must be kept forever, so the policy must be exactly compact"
        elif name == "cleanup.policy" and "compact" in actual:
            yield f"{name}={actual}: compaction deletes records"
        elif name == "segment.bytes" and int(actual) > int(wanted):
            yield f"{name}={actual}, above {wanted}: a restore reads more uncompacted totals"
        elif name == "max.message.bytes" and int(actual) < int(wanted):
            yield f"{name}={actual}, below {wanted}: the topic rejects larger records"
        elif name.endswith(".max.ms") and int(actual) < int(wanted):
            yield (
                f"{name}={actual}: the dead letter of a record with a wrong timestamp gets the time of the "
                f"worker; its header {DEAD_LETTER_HEADER} contains the timestamp"
            )
