"""What the four topics must be."""

from collections.abc import Mapping

from stream.config import Settings
from stream.kafka.access import worker_needs
from stream.kafka.topics import CREATE, REPAIR, TopicFacts, names, wanted_configs
from stream.tools.doctor.findings import Findings, failed, ok, warning

PRINCIPAL = "User:worker"


def examine(found: Mapping[str, TopicFacts], settings: Settings, brokers: int) -> Findings:
    """Look at all that exist, and say which do not."""
    for role, name in names(settings).items():
        if role not in found:
            yield failed(f"topic {name}", "there is none", CREATE)
            continue
        topic = found[role]
        complaints = [
            *_partitions(role, topic, found),
            *_configs(role, topic, settings),
            *_replication(topic, brokers),
            *_access(topic, settings),
        ]
        yield from complaints
        if not complaints:
            yield ok(
                f"topic {name}",
                f"{topic.partitions} partitions, {topic.replicas} replicas, "
                f"cleanup.policy={topic.configs.get('cleanup.policy', '?')}",
            )


def _partitions(role: str, topic: TopicFacts, found: Mapping[str, TopicFacts]) -> Findings:
    needed = found["input"].partitions if "input" in found else 0
    if role in {"result", "count"} and topic.partitions < needed:
        few = f"{topic.partitions} partitions, the input has {needed}"
        yield failed(f"topic {topic.name}", few, CREATE)


def _configs(role: str, topic: TopicFacts, settings: Settings) -> Findings:
    check = f"topic {topic.name}"
    for name, value in wanted_configs(settings)[role].items():
        has = topic.configs.get(name)
        if has is None or has == value:
            continue
        if name == "cleanup.policy":
            why = (
                "totals live in it for ever, it must be compact alone"
                if role == "count"
                else "compaction would drop records"
            )
            if role == "count" or "compact" in has:
                yield (failed if role == "count" else warning)(check, f"{name}={has}: {why}", REPAIR)
        elif name == "segment.bytes" and int(has) > int(value):
            yield warning(check, f"{name}={has}: a restore reads what is not compacted", REPAIR)
        elif (name.endswith(".max.ms") or name == "max.message.bytes") and int(has) < int(value):
            yield warning(check, f"{name}={has}, below {value}: such records cannot pass it", REPAIR)


def _replication(topic: TopicFacts, brokers: int) -> Findings:
    check, least = f"topic {topic.name}", int(topic.configs.get("min.insync.replicas", "1"))
    alter = f"kafka-configs.sh --bootstrap-server … --alter --entity-type topics --entity-name {topic.name}"
    if topic.leaderless:
        yield failed(check, f"{topic.leaderless} partitions have no leader", "bring their brokers back")
    elif topic.in_sync < least:
        yield failed(
            check,
            f"{topic.in_sync} replicas in sync, min.insync.replicas={least}: no write is taken",
            "bring the brokers of the others back",
        )
    elif topic.in_sync < topic.replicas:
        yield warning(
            check, f"{topic.in_sync} of {topic.replicas} replicas in sync", "see to the broker that lags"
        )
    if brokers > 1 and topic.replicas == 1:
        yield warning(
            check, "one replica: a lost disk is lost data", "kafka-reassign-partitions.sh, to three replicas"
        )
    if topic.replicas > 1 and least == 1:
        yield warning(
            check,
            "min.insync.replicas=1: an acknowledged write may be on one disk only",
            f"{alter} --add-config min.insync.replicas=2",
        )
    if topic.configs.get("unclean.leader.election.enable") == "true":
        yield warning(
            check,
            "unclean.leader.election.enable=true: acknowledged records may be lost",
            f"{alter} --add-config unclean.leader.election.enable=false",
        )


def _access(topic: TopicFacts, settings: Settings) -> Findings:
    if topic.operations is None:
        return
    for need in worker_needs(settings):
        lacking = [
            each
            for each in need.operations
            if need.name == topic.name and each.lower() not in topic.operations
        ]
        if lacking:
            yield failed(
                f"topic {topic.name}",
                f"Kafka does not grant {', '.join(lacking)}",
                need.command(settings.bootstrap_servers, PRINCIPAL) + "  # your principal",
            )
