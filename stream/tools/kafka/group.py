"""The consumer group as the cluster sees it: state, members, how far behind."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import ConsumerGroupState, KafkaException, TopicPartition
from confluent_kafka.admin import ConfigResource  # type: ignore[attr-defined]

from stream.kafka.answers import answer
from stream.kafka.clients import Admin, Options, make_consumer
from stream.kafka.failure import from_call, kafka_error
from stream.kafka.offsets import REQUEST_TIMEOUT_S, offset_ranges
from stream.kafka.offsets_poller import group_offsets, last_offsets
from stream.kafka.reader import METADATA_S_MAX, partitions_of

LOOK_S_MAX = 5.0  # for a record below the last stable offset
_FETCH_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Member:
    """Who has a partition."""

    id: str
    client_id: str
    host: str
    partitions: Sequence[int]


@dataclass(frozen=True, slots=True)
class Group:
    """What the coordinator says.

    Attributes:
        state: `stable`, `empty`, …; `dead` where there is no such group (yet).
        protocol: `consumer` or `classic`.
        operations: what ACLs let us do, in lower case; None: unknown.
    """

    state: str
    protocol: str
    members: Sequence[Member]
    operations: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """How far the group is on one partition.

    Attributes:
        committed: the next offset to read; None: nothing is committed.
        stable: last stable offset, the end of what it may read now.
        end: high watermark.
        lag: committed records still to do are below it; 0 when there is none, whatever markers take offsets.
        age_s: how old the oldest of them is; None without.
    """

    partition: int
    first: int
    committed: int | None
    stable: int
    end: int
    lag: int
    age_s: float | None
    member: Member | None


def describe_group(admin: Admin, group_id: str, topic: str) -> Group:
    """Ask for the group.

    Raises:
        Retriable: the broker is away.
        Refused: no access.
    """
    found = answer(
        admin.describe_consumer_groups(
            [group_id], request_timeout=REQUEST_TIMEOUT_S, include_authorized_operations=True
        )[group_id]
    )
    members = [
        Member(
            each.member_id,
            each.client_id,
            each.host,
            sorted(at.partition for at in each.assignment.topic_partitions if at.topic == topic),
        )
        for each in found.members
    ]
    state = found.state.name.lower() if isinstance(found.state, ConsumerGroupState) else str(found.state)
    operations = found.authorized_operations
    return Group(
        state,
        found.type.name.lower(),
        members,
        frozenset(each.name.replace("_", "").lower() for each in operations) if operations else None,
    )


def group_configs(admin: Admin, group_id: str) -> Mapping[str, str]:
    """Return the group's own configuration; nothing where the broker knows none (before Kafka 4.0).

    Raises:
        StreamError: the broker is away, or does not say.
    """
    resource = ConfigResource(ConfigResource.Type.GROUP, group_id)
    found = answer(admin.describe_configs([resource], request_timeout=REQUEST_TIMEOUT_S)[resource])
    return {entry.name: entry.value for entry in found.values()}


def behind(admin: Admin, options: Options, group_id: str, topic: str) -> tuple[Group, list[PartitionLag]]:
    """Return the group, and how far it is on each partition.

    Raises:
        Retriable: the broker is away.
        Fatal: the topic is missing, or no access.
    """
    group = describe_group(admin, group_id, topic)
    partitions = partitions_of(admin, topic)
    committed = group_offsets(admin, group_id, topic, partitions)
    places = [TopicPartition(topic, partition) for partition in partitions]
    end = last_offsets(admin, places, stable=False)[topic]
    ranges = offset_ranges(admin, topic, partitions, stable=True)
    spans = {
        p: (max(first, committed.get(p, first)), stable)
        for p, (first, stable) in ranges.items()
        if committed.get(p, first) < stable
    }
    stamps = _first_stamps(options, topic, spans)
    owners = {partition: member for member in group.members for partition in member.partitions}
    now = time.time()
    return group, [
        PartitionLag(
            p,
            first,
            committed.get(p),
            stable,
            max(end[p], stable),
            spans[p][1] - spans[p][0] if p in stamps else 0,
            max(0.0, now - stamps[p] / 1000) if stamps.get(p) else None,
            owners.get(p),
        )
        for p, (first, stable) in ranges.items()
    ]


def _first_stamps(options: Options, topic: str, spans: Mapping[int, tuple[int, int]]) -> dict[int, int]:
    """Return the timestamp (ms) of the first committed record in each span of offsets that has one.

    What the answer does not come for in time counts as a record: lag is not explained away.
    """
    if not spans:
        return {}
    small = {"fetch.message.max.bytes": _FETCH_BYTES, "fetch.wait.max.ms": 20}
    consumer = make_consumer({**options, **small})
    found: dict[int, int] = {}
    left = dict(spans)
    try:
        consumer.assign([TopicPartition(topic, p, start) for p, (start, _) in spans.items()])
        deadline = time.monotonic() + LOOK_S_MAX + METADATA_S_MAX
        while left and time.monotonic() < deadline:
            message = consumer.poll(0.1)
            if message is None or (partition := message.partition()) not in left:
                continue
            if message.error() is None and (message.offset() or 0) < left[partition][1]:
                found[partition] = message.timestamp()[1]
            elif (message.offset() or 0) < left[partition][1]:
                continue
            del left[partition]
            consumer.incremental_unassign([TopicPartition(topic, partition)])
    except KafkaException as error:
        raise from_call(kafka_error(error)) from error
    finally:
        consumer.close()
    return found | dict.fromkeys(left, 0)
