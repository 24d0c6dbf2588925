"""Creates, repairs and deletes the four topics."""

import time
from collections.abc import Mapping

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
)

from stream.config import Settings
from stream.errors import Misconfigured, Retriable
from stream.kafka.clients import Admin
from stream.kafka.futures import existing_results, result_of, was_created
from stream.kafka.topics import REQUEST_TIMEOUT_S, TopicFacts, describe, names, wanted_configs

PARTITIONS = 4


def create_topics(
    admin: Admin,
    settings: Settings,
    partitions: int | None,
    replication: int | None,
    *,
    repair: bool,
) -> list[str]:
    """Create missing topics, add missing partitions; return sentences that say what was done.

    The number of partitions never decreases. The input keeps its number unless `partitions` is greater;
    result and count topic follow the input. With `repair`, wrong configurations are set to the wanted ones.

    Raises:
        Retriable: the broker is unavailable.
        Refused: Kafka denied access, or does not create a topic.
        Misconfigured: `partitions` is less than the number that exists.
    """
    described = describe(admin, settings)
    existing = described["input"].partitions if "input" in described else 0
    if partitions is not None and partitions < existing:
        raise Misconfigured(
            f"{settings.input_topic} has {existing} partitions already; a topic cannot shrink to {partitions}"
        )
    number = partitions or existing or PARTITIONS
    done = []
    for role, name in names(settings).items():
        wanted = wanted_configs(settings)[role]
        if role not in described:
            topic = NewTopic(name, number, replication if replication is not None else -1, config=wanted)
            created = was_created(admin.create_topics([topic], request_timeout=REQUEST_TIMEOUT_S)[name])
            done.append(f"{'created' if created else 'found'} {name}: {number} partitions")
            continue
        if role != "dead-letter" and described[role].partitions < number:
            new = NewPartitions(name, number)
            result_of(admin.create_partitions([new], request_timeout=REQUEST_TIMEOUT_S)[name])
            done.append(f"grew {name} from {described[role].partitions} to {number} partitions")
        if replication is not None and described[role].replicas != replication:
            done.append(
                f"left {name} at {_replicas(described[role].replicas)}: --replication applies to new topics; "
                "reassign its partitions with your cluster's administration tool"
            )
        if repair:
            done += _repair(admin, described[role], wanted)
    if done:
        _wait_until_known(admin, settings, number)
    return done


def delete_topics(admin: Admin, settings: Settings) -> None:
    """Delete the four topics with their records, and so the group's offsets too.

    Raises:
        Retriable: the broker is unavailable.
        Refused: Kafka denied access.
    """
    existing_results(admin.delete_topics(list(names(settings).values()), request_timeout=REQUEST_TIMEOUT_S))


def _wait_until_known(admin: Admin, settings: Settings, partitions: int) -> None:
    """Wait until brokers describe the new topics: the controller confirms before they know them.

    Raises:
        Retriable: they do not within `REQUEST_TIMEOUT_S`.
    """
    deadline = time.monotonic() + REQUEST_TIMEOUT_S
    while True:
        known = [
            topic
            for role, topic in describe(admin, settings).items()
            if role == "dead-letter" or topic.partitions >= partitions
        ]
        if len(known) == len(names(settings)):
            return
        if time.monotonic() >= deadline:
            raise Retriable("the topics were created, but the brokers do not know all of them yet")
        time.sleep(0.1)


def _replicas(number: int) -> str:
    return "1 replica" if number == 1 else f"{number} replicas"


def _repair(admin: Admin, topic: TopicFacts, wanted: Mapping[str, str]) -> list[str]:
    wrong = {name: value for name, value in wanted.items() if topic.configs.get(name) != value}
    if not wrong:
        return []
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in wrong.items()
    ]
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic.name, incremental_configs=entries)
    result_of(admin.incremental_alter_configs([resource], request_timeout=REQUEST_TIMEOUT_S)[resource])
    return [
        f"set {name}={value} on {topic.name} (was {topic.configs.get(name)})" for name, value in wrong.items()
    ]
