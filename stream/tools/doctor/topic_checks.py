"""Checks of the four topics."""

from collections.abc import Mapping

from stream.config import Settings
from stream.kafka.access import worker_acls
from stream.kafka.failure import ACCESS_HINT
from stream.kafka.topics import CREATE, REPAIR, TopicFacts, config_problems, names, unknown_configs
from stream.tools.doctor.findings import Findings, failed, ok, warning


def examine(facts: Mapping[str, TopicFacts], settings: Settings, brokers: int) -> Findings:
    """Check the existing topics and report the missing ones."""
    for role, name in names(settings).items():
        if role not in facts:
            yield failed(f"topic {name}", "the topic is missing", CREATE)
            continue
        topic = facts[role]
        problems = [
            *_partitions(role, topic, facts),
            *_configs(role, topic, settings),
            *_replication(topic, brokers),
            *_access(topic, settings),
        ]
        yield from problems
        if not problems:
            yield ok(
                f"topic {name}",
                f"{_quantity(topic.partitions, 'partition')}, {_quantity(topic.replicas, 'replica')}, "
                f"cleanup.policy={topic.configs.get('cleanup.policy', '?')}",
            )
        yield from (ok(f"topic {name}", sentence) for sentence in unknown_configs(role, topic, settings))


def _partitions(role: str, topic: TopicFacts, facts: Mapping[str, TopicFacts]) -> Findings:
    needed = facts["input"].partitions if "input" in facts else 0
    if role in {"result", "count"} and topic.partitions < needed:
        message = f"{_quantity(topic.partitions, 'partition')}, the input has {needed}"
        yield failed(f"topic {topic.name}", message, CREATE)


def _configs(role: str, topic: TopicFacts, settings: Settings) -> Findings:
    for problem in config_problems(role, topic, settings):
        is_fatal = role == "count" and problem.startswith("cleanup.policy")
        yield (failed if is_fatal else warning)(f"topic {topic.name}", problem, REPAIR)


def _replication(topic: TopicFacts, brokers: int) -> Findings:
    check, in_sync_min = f"topic {topic.name}", int(topic.configs.get("min.insync.replicas", "1"))
    administer = "with your cluster's administration tool"
    if topic.leaderless:
        yield failed(
            check, f"partitions without a leader: {topic.leaderless}", "start the brokers of these partitions"
        )
    elif topic.in_sync < in_sync_min:
        yield failed(
            check,
            f"in-sync replicas: {topic.in_sync}, min.insync.replicas={in_sync_min}: all writes are rejected",
            "start the brokers of the other replicas",
        )
    elif topic.in_sync < topic.replicas:
        yield warning(
            check, f"{topic.in_sync} of {topic.replicas} replicas in sync", "check the broker that is behind"
        )
    if brokers > 1 and topic.replicas == 1:
        yield warning(
            check,
            "one replica: the data is lost if one disk fails",
            f"give the topic three replicas {administer}",
        )
    if topic.replicas > 1 and in_sync_min == 1:
        yield warning(
            check,
            "min.insync.replicas=1: an acknowledged write may be on only one disk",
            f"set min.insync.replicas=2 on the topic {administer}",
        )
    if topic.configs.get("unclean.leader.election.enable") == "true":
        yield warning(
            check,
            "unclean.leader.election.enable=true: acknowledged records may be lost",
            f"set unclean.leader.election.enable=false on the topic {administer}",
        )


def _quantity(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _access(topic: TopicFacts, settings: Settings) -> Findings:
    if topic.operations is None:
        return
    for acl in worker_acls(settings):
        missing = [
            each for each in acl.operations if acl.name == topic.name and each.lower() not in topic.operations
        ]
        if missing:
            yield failed(
                f"topic {topic.name}",
                f"Kafka does not grant {', '.join(missing)}",
                ACCESS_HINT,
            )
