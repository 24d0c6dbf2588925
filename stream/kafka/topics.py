"""The four topics: what they are, what they must be, and how they are made."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from confluent_kafka import TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclOperation,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
)

from stream.config import Settings
from stream.core.dead_letter import OVERHEAD_BYTES_MAX
from stream.errors import Misconfigured, Refused, Retriable
from stream.kafka.answers import answer, answers, was_made
from stream.kafka.clients import FRAMING_BYTES_MAX, Admin

REQUEST_TIMEOUT_S = 10.0
PARTITIONS = 4
COUNT_SEGMENT_BYTES = 16 * 1024 * 1024
CREATE = "anagram-stream topics create"
REPAIR = "anagram-stream topics create --repair"
_BATCH_BYTES = 1_000_000  # librdkafka's default batch
_BATCH_FRAMING_BYTES = 128


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """What is known of one existing topic.

    Attributes:
        operations: what ACLs let us do, as `kafka-acls.sh` names it, in lower case; None: unknown.
        replicas: of the partition that has the fewest; `in_sync` likewise; `leaderless` have no leader.
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
        """The longest record it takes; the broker counts the framing of its batch."""
        return int(self.configs.get("max.message.bytes", "1048588")) - _BATCH_FRAMING_BYTES


@dataclass(frozen=True, slots=True)
class Topics:
    """What is known of the four before a worker starts."""

    cluster_id: str
    input: TopicFacts
    result: TopicFacts
    count: TopicFacts
    dead_letter: TopicFacts
    warnings: Sequence[str] = field(default=())

    @property
    def batch_bytes_max(self) -> int:
        """The largest batch that each output topic takes."""
        return min(_BATCH_BYTES, *(t.record_bytes_max for t in (self.result, self.count, self.dead_letter)))


def names(settings: Settings) -> dict[str, str]:
    """Return the four topics' names by their role."""
    return {
        "input": settings.input_topic,
        "result": settings.result_topic,
        "count": settings.count_topic,
        "dead-letter": settings.dead_letter_topic,
    }


def wanted_configs(settings: Settings) -> dict[str, dict[str, str]]:
    """Return the configuration that each topic should have, by role."""
    text_bytes = settings.text_bytes_max + FRAMING_BYTES_MAX
    return {
        "input": {"max.message.bytes": str(text_bytes)},
        "result": {"max.message.bytes": str(settings.result_bytes_max + FRAMING_BYTES_MAX)},
        # Segments are compacted only when they are full: with the default of 1 GiB all that was ever counted
        # would be read by a restore.
        "count": {"cleanup.policy": "compact", "segment.bytes": str(COUNT_SEGMENT_BYTES)},
        "dead-letter": {
            "cleanup.policy": "delete",
            "max.message.bytes": str(text_bytes + OVERHEAD_BYTES_MAX),
            "message.timestamp.before.max.ms": str(2**63 - 1),  # a dead letter keeps its record's timestamp,
            "message.timestamp.after.max.ms": str(2**63 - 1),  # however wrong the clock that set it
        },
    }


def look(admin: Admin, settings: Settings) -> dict[str, TopicFacts]:
    """Return what exists of the four, by role.

    Raises:
        Retriable: the broker is away.
        Refused: no access, or not let in at all.
    """
    by_role = names(settings)
    asked = TopicCollection(list(by_role.values()))
    try:
        described = answers(
            admin.awaited(
                admin.describe_topics(
                    asked, request_timeout=REQUEST_TIMEOUT_S, include_authorized_operations=True
                )
            )
        )
    except Retriable as why:
        raise (admin.denial() or why) from why
    existing = {role: described[name] for role, name in by_role.items() if name in described}
    resources = {name: ConfigResource(ConfigResource.Type.TOPIC, name) for name in described}
    configs = {
        resource.name: {entry.name: entry.value for entry in answer.values()}
        for resource, answer in answers(
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
            min((len(at.replicas) for at in topic.partitions), default=0),
            min((len(at.isr) for at in topic.partitions), default=0),
            sum(at.leader is None or at.leader.id < 0 for at in topic.partitions),
        )
        for role, topic in existing.items()
    }


def _operations(authorized: Sequence[AclOperation] | None) -> frozenset[str] | None:
    return frozenset(each.name.replace("_", "").lower() for each in authorized) if authorized else None


def check(admin: Admin, settings: Settings) -> Topics:
    """Return the facts of the four topics, if a worker may start on them.

    Raises:
        Retriable: the broker is away.
        Refused: a topic is missing, no access, or the count topic is not what a changelog must be.
    """
    found = look(admin, settings)
    missing = [name for role, name in names(settings).items() if role not in found]
    if missing:
        raise Refused("missing topics: " + ", ".join(missing), CREATE)
    count, source = found["count"], found["input"]
    policy = count.configs.get("cleanup.policy", "")
    if policy != "compact":
        raise Refused(
            f"{count.name} has cleanup.policy={policy}; totals live in it for ever: it must be compact alone",
            f"{REPAIR} (or set STREAM_COUNT_TOPIC to a topic of its own)",
        )
    for topic in (count, found["result"]):
        if topic.partitions < source.partitions:
            few = f"{topic.name} has {topic.partitions} partitions, the input has {source.partitions}"
            raise Refused(few, CREATE)
    cluster_id = answer(admin.describe_cluster(request_timeout=REQUEST_TIMEOUT_S)).cluster_id
    return Topics(
        cluster_id, source, found["result"], count, found["dead-letter"], _warnings(found, settings)
    )


def _warnings(found: Mapping[str, TopicFacts], settings: Settings) -> list[str]:
    warnings = []
    for role, wanted in wanted_configs(settings).items():
        topic = found[role]
        for name, value in wanted.items():
            has = topic.configs.get(name)
            if name == "max.message.bytes" and has is not None and int(has) < int(value):
                warnings.append(
                    f"{topic.name} has {name}={has}, below {value}: larger records cannot pass it ({REPAIR})"
                )
            elif name == "segment.bytes" and has is not None and int(has) > int(value):
                warnings.append(
                    f"{topic.name} has {name}={has}, above {value}: a restore reads what is not compacted "
                    f"({REPAIR})"
                )
            elif name == "cleanup.policy" and has is not None and "compact" in has and value != has:
                warnings.append(f"{topic.name} has {name}={has}: compaction would drop records ({REPAIR})")
    return warnings


def create(
    admin: Admin,
    settings: Settings,
    partitions: int | None,
    replication: int | None,
    *,
    repair: bool,
) -> list[str]:
    """Make what is missing, grow what is too small; return what was done. `repair` sets configurations right.

    Partitions never shrink. The input keeps its number unless `partitions` is greater; result and
    count topic follow the input.

    Raises:
        Retriable: the broker is away.
        Refused: no access, or a topic that the cluster will not make.
        Misconfigured: fewer partitions asked for than there are.
    """
    found = look(admin, settings)
    has = found["input"].partitions if "input" in found else 0
    if partitions is not None and partitions < has:
        raise Misconfigured(
            f"{settings.input_topic} has {has} partitions already; a topic cannot shrink to {partitions}"
        )
    number = partitions or has or PARTITIONS
    done = []
    for role, name in names(settings).items():
        wanted = wanted_configs(settings)[role]
        if role not in found:
            topic = NewTopic(name, number, replication if replication is not None else -1, config=wanted)
            made = was_made(admin.create_topics([topic], request_timeout=REQUEST_TIMEOUT_S)[name])
            done.append(f"{'created' if made else 'found'} {name}: {number} partitions")
            continue
        if role != "dead-letter" and found[role].partitions < number:
            answer(
                admin.create_partitions([NewPartitions(name, number)], request_timeout=REQUEST_TIMEOUT_S)[
                    name
                ]
            )
            done.append(f"grew {name} from {found[role].partitions} to {number} partitions")
        if repair:
            done += _repair(admin, found[role], wanted)
    if done:
        _await(admin, settings, number)
    return done


def delete(admin: Admin, settings: Settings) -> None:
    """Delete the four topics, all that is in them, and the group's offsets with them.

    Raises:
        Retriable: the broker is away.
        Refused: no access.
    """
    answers(admin.delete_topics(list(names(settings).values()), request_timeout=REQUEST_TIMEOUT_S))


def _await(admin: Admin, settings: Settings, partitions: int) -> None:
    """Wait until brokers tell of what was made: they learn of it after the controller has said yes.

    Raises:
        Retriable: they have not within `REQUEST_TIMEOUT_S`.
    """
    deadline = time.monotonic() + REQUEST_TIMEOUT_S
    while True:
        found = look(admin, settings)
        grown = [
            topic for role, topic in found.items() if role == "dead-letter" or topic.partitions >= partitions
        ]
        if len(grown) == len(names(settings)):
            return
        if time.monotonic() >= deadline:
            raise Retriable("the topics were made, but the brokers do not know of all yet")
        time.sleep(0.1)


def _repair(admin: Admin, topic: TopicFacts, wanted: Mapping[str, str]) -> list[str]:
    wrong = {name: value for name, value in wanted.items() if topic.configs.get(name) != value}
    if not wrong:
        return []
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in wrong.items()
    ]
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic.name, incremental_configs=entries)
    answer(admin.incremental_alter_configs([resource], request_timeout=REQUEST_TIMEOUT_S)[resource])
    return [
        f"set {name}={value} on {topic.name} (was {topic.configs.get(name)})" for name, value in wrong.items()
    ]
