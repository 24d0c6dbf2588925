"""Creates, repairs and deletes the four topics."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
)

from stream.config import Settings
from stream.errors import Misconfigured, Refused, Retriable
from stream.kafka import failure
from stream.kafka.clients import Admin
from stream.kafka.failure import from_call, kafka_error
from stream.kafka.futures import existing_results, result_of, wait_for_result
from stream.kafka.topics import REQUEST_TIMEOUT_S, WITHOUT, TopicFacts, describe, names, wanted_configs

PARTITIONS = 4
_REQUIRED = {"count": ("cleanup.policy",)}  # a worker does not start without it
_NOT_ACCEPTED = {KafkaError.INVALID_CONFIG, KafkaError.POLICY_VIOLATION}


def create_topics(
    admin: Admin,
    settings: Settings,
    partitions: int | None,
    replication: int | None,
    *,
    repair: bool,
) -> list[str]:
    """Create missing topics, add missing partitions; return sentences about what was done.

    The number of partitions never decreases. The input keeps its number unless `partitions` is greater;
    result and count topic follow the input. With `repair`, wrong configurations are set to the wanted ones.
    Settings that the brokers do not accept are left out, unless a worker needs them.

    Raises:
        Retriable: the broker is unavailable.
        Refused: Kafka denied access, or rejected a topic; the others were created.
        Misconfigured: `partitions` is less than the number that exists.
    """
    described = describe(admin, settings)
    existing = described["input"].partitions if "input" in described else 0
    if partitions is not None and partitions < existing:
        raise Misconfigured(
            f"{settings.input_topic} has {_partitions(existing)} already; it cannot shrink to {partitions}"
        )
    number = partitions or existing or PARTITIONS
    done: list[str] = []
    refusals: list[Refused] = []
    for role, name in names(settings).items():
        wanted, required = wanted_configs(settings)[role], _REQUIRED.get(role, ())
        try:
            if role not in described:
                topic = NewTopic(name, number, -1 if replication is None else replication, config=wanted)
                done += _create(admin, topic, required)
                continue
            if role != "dead-letter" and described[role].partitions < number:
                new = NewPartitions(name, number)
                result_of(admin.create_partitions([new], request_timeout=REQUEST_TIMEOUT_S)[name])
                done.append(f"grew {name} from {described[role].partitions} to {number} partitions")
            if replication is not None and described[role].replicas != replication:
                done.append(_left_replicas(described[role]))
            if repair:
                done += _repair(admin, described[role], wanted, required)
        except _NotAccepted as refusal:  # the other topics are created nevertheless
            refusals.append(refusal)
    if refusals:
        raise Refused("; ".join([*map(str, refusals), *done]), "; ".join(each.hint for each in refusals))
    if done:
        _wait_until_known(admin, settings, number)
    return done


def delete_topics(admin: Admin, settings: Settings) -> None:
    """Delete the four topics with their records and, as a consequence, the group's offsets.

    Raises:
        Retriable: the broker is unavailable.
        Refused: Kafka denied access.
    """
    existing_results(admin.delete_topics(list(names(settings).values()), request_timeout=REQUEST_TIMEOUT_S))


def _wait_until_known(admin: Admin, settings: Settings, partitions: int) -> None:
    """Wait until brokers describe the new topics: the controller confirms before they know them.

    Raises:
        Retriable: they do not describe them within `REQUEST_TIMEOUT_S`.
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


def _partitions(number: int) -> str:
    return "1 partition" if number == 1 else f"{number} partitions"


def _left_replicas(topic: TopicFacts) -> str:
    replicas = "1 replica" if topic.replicas == 1 else f"{topic.replicas} replicas"
    return (
        f"left {topic.name} at {replicas}: --replication applies to new topics; reassign its partitions with "
        "your cluster's administration tool"
    )


class _NotAccepted(Refused):
    """The brokers do not accept the settings of a topic that a worker needs."""


def _create(admin: Admin, topic: NewTopic, required: Sequence[str]) -> list[str]:
    """Create a topic without the settings that the brokers do not accept; return what was done.

    Raises:
        _NotAccepted: they do not create it with the required settings either.
    """
    wanted, left_out = dict(topic.config or {}), []
    error = _creation_error(admin, topic, wanted)
    if error is not None and error.code() in _NOT_ACCEPTED:  # not all brokers name the setting in the error
        needed = {name: wanted[name] for name in required}
        for name, value in wanted.items():
            refusal = _creation_error(admin, topic, {**needed, name: value}, validate_only=True)
            if name not in needed and refusal is not None and refusal.code() in _NOT_ACCEPTED:
                left_out.append(_left_out(topic.topic, name, value, refusal))
            else:
                needed[name] = value
        error = _creation_error(admin, topic, needed)
    if error is None or error.code() == KafkaError.TOPIC_ALREADY_EXISTS:  # another client has just created it
        verb = "found" if error else "created"
        return [f"{verb} {topic.topic}: {_partitions(topic.num_partitions)}", *left_out]
    if error.code() in _NOT_ACCEPTED:
        needed_text = "".join(f" and {name}={wanted[name]}" for name in required)
        raise _NotAccepted(
            f"the brokers refused to create {topic.topic}: {failure.describe(error)}",
            f"ask the owner of the cluster to create {topic.topic} with {_partitions(topic.num_partitions)}"
            f"{needed_text}, then run: anagram-stream topics check",
        )
    raise from_call(error)


def _creation_error(
    admin: Admin, topic: NewTopic, config: Mapping[str, str], *, validate_only: bool = False
) -> KafkaError | None:
    """Create a topic, or with `validate_only` ask whether it can be created; return the error."""
    new = NewTopic(topic.topic, topic.num_partitions, topic.replication_factor, config=dict(config))
    futures = admin.create_topics([new], request_timeout=REQUEST_TIMEOUT_S, validate_only=validate_only)
    return _error_of(futures[topic.topic])


def _repair(admin: Admin, topic: TopicFacts, wanted: Mapping[str, str], required: Sequence[str]) -> list[str]:
    """Set the wrong settings one by one, because the brokers accept a request either entirely or not at all.

    Raises:
        _NotAccepted: they do not accept a required setting.
    """
    done = []
    for name, value in wanted.items():
        actual = topic.configs.get(name)
        if actual == value or _is_enough(name, actual, value):
            continue
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic.name, incremental_configs=[entry])
        futures = admin.incremental_alter_configs([resource], request_timeout=REQUEST_TIMEOUT_S)
        error = _error_of(futures[resource])
        if error is None:
            done.append(f"set {name}={value} on {topic.name} (was {actual})")
        elif error.code() not in _NOT_ACCEPTED:
            raise from_call(error)
        elif name in required:
            raise _NotAccepted(
                f"the brokers refused to set {name}={value} on {topic.name}: {failure.describe(error)}",
                f"ask the owner of the cluster to set {name}={value} on {topic.name}, then run: "
                "anagram-stream topics check",
            )
        else:
            done.append(_left_out(topic.name, name, value, error))
    return done


def _is_enough(name: str, actual: str | None, wanted: str) -> bool:
    """Return whether a larger limit than the wanted one is left as it is."""
    is_limit = name == "max.message.bytes" or name.endswith(".max.ms")
    return is_limit and actual is not None and int(actual) > int(wanted)


def _left_out(topic: str, name: str, value: str, error: KafkaError) -> str:
    why = failure.describe(error)
    return f"left out {name}={value} on {topic}, because the brokers refuse it ({why}): {WITHOUT[name]}"


def _error_of(future: Future[Any]) -> KafkaError | None:
    try:
        wait_for_result(future)
    except KafkaException as error:
        return kafka_error(error)
    return None
