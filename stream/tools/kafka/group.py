"""The consumer group as the cluster sees it: state, members, and lag."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import ConsumerGroupState, TopicPartition
from confluent_kafka.admin import ConfigResource  # type: ignore[attr-defined]

from stream.kafka.clients import Admin, Options
from stream.kafka.futures import result_of
from stream.kafka.offsets import REQUEST_TIMEOUT_S, offset_ranges, partitions_of
from stream.kafka.offsets_poller import first_records, group_offsets, last_offsets


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the group, and its partitions of the topic."""

    id: str
    client_id: str
    host: str
    partitions: Sequence[int]


@dataclass(frozen=True, slots=True)
class Group:
    """The group as its coordinator describes it.

    Attributes:
        state: `stable`, `empty`, …; `dead` if the group does not exist (yet).
        protocol: `consumer` or `classic`.
        operations: operations that ACLs grant, in lower case; None if unknown.
    """

    state: str
    protocol: str
    members: Sequence[Member]
    operations: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """How far the group is from the end of one partition.

    Attributes:
        first: the first offset of the log.
        committed: the next offset to read; None if nothing is committed.
        stable: the last stable offset, the end of what the group can read now.
        end: the high watermark.
        lag: offsets from the position to `stable`; 0 if no record is among them, only markers.
        age_s: the age of the oldest record among them; None if there is none.
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
    """Describe the group.

    Raises:
        Retriable: the broker is unavailable.
        Refused: Kafka denied access.
    """
    description = result_of(
        admin.describe_consumer_groups(
            [group_id], request_timeout=REQUEST_TIMEOUT_S, include_authorized_operations=True
        )[group_id]
    )
    members = [
        Member(
            each.member_id,
            each.client_id,
            each.host,
            sorted(own.partition for own in each.assignment.topic_partitions if own.topic == topic),
        )
        for each in description.members
    ]
    state = description.state
    operations = description.authorized_operations
    return Group(
        state.name.lower() if isinstance(state, ConsumerGroupState) else str(state),
        description.type.name.lower(),
        members,
        frozenset(each.name.replace("_", "").lower() for each in operations) if operations else None,
    )


def group_configs(admin: Admin, group_id: str) -> Mapping[str, str]:
    """Return the group's own configuration; empty if the broker has none (before Kafka 4.0).

    Raises:
        StreamError: the broker is unavailable, or the request failed.
    """
    resource = ConfigResource(ConfigResource.Type.GROUP, group_id)
    entries = result_of(admin.describe_configs([resource], request_timeout=REQUEST_TIMEOUT_S)[resource])
    return {entry.name: entry.value for entry in entries.values()}


def group_lag(admin: Admin, options: Options, group_id: str, topic: str) -> tuple[Group, list[PartitionLag]]:
    """Return the group, and its lag on each partition.

    Raises:
        Retriable: the broker is unavailable.
        Fatal: the topic is missing, or Kafka denied access.
    """
    partitions = partitions_of(admin, topic)  # first, to detect an unavailable broker
    group = describe_group(admin, group_id, topic)
    committed = {p: each.offset for p, each in group_offsets(options, topic, partitions).items()}
    topic_partitions = [TopicPartition(topic, partition) for partition in partitions]
    end = last_offsets(admin, topic_partitions, stable=False)[topic]
    ranges = offset_ranges(admin, topic, partitions, stable=True)
    spans = {
        p: (max(first, committed.get(p, first)), stable)
        for p, (first, stable) in ranges.items()
        if committed.get(p, first) < stable
    }
    timestamps = {p: record.timestamp_ms for p, record in first_records(options, topic, spans).items()}
    owners = {partition: member for member in group.members for partition in member.partitions}
    now = time.time()
    return group, [
        PartitionLag(
            p,
            first,
            committed.get(p),
            stable,
            max(end[p], stable),
            spans[p][1] - spans[p][0] if p in timestamps else 0,
            max(0.0, now - timestamps[p] / 1000) if timestamps.get(p, 0) > 0 else None,
            owners.get(p),
        )
        for p, (first, stable) in ranges.items()
    ]
