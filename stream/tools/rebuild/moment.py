"""The offsets as of which totals are rebuilt: committed ones, given ones, or those of a time."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from stream.config import Settings
from stream.errors import Misconfigured, Refused
from stream.kafka.clients import Admin, reader_options
from stream.kafka.failure import from_call, kafka_error
from stream.kafka.futures import wait_for_result
from stream.kafka.offsets import REQUEST_TIMEOUT_S, committed_offsets, offset_ranges, partitions_of

COMMITTED_TIMEOUT_S = 5.0
OFFSETS = re.compile(r"\d+:\d+(,\d+:\d+)*")


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment in the input.

    Attributes:
        text: the user's text.
        time_ms: before the first record with this timestamp or a later one, in ms since 1970.
        offsets: input partition -> offset. If there is neither, the group's committed offsets apply.
    """

    text: str
    time_ms: int | None = None
    offsets: Mapping[int, int] = field(default_factory=dict)


def parse_offsets(text: str) -> Mapping[int, int]:
    """Read `PARTITION:OFFSET,…`.

    Raises:
        Misconfigured: a partition is named twice.
    """
    offsets: dict[int, int] = {}
    for pair in text.split(","):
        partition, offset = map(int, pair.split(":"))
        if partition in offsets:
            raise Misconfigured(f"--at {text} names a partition twice", "name each partition once")
        offsets[partition] = offset
    return offsets


def target_offsets(settings: Settings, admin: Admin, moment: Moment) -> dict[int, int]:
    """Return, by input partition, the offset before which the input is counted.

    Raises:
        Retriable: the broker is unavailable.
        Misconfigured: the offsets do not match the topic.
        Refused: the time is before the first remaining record.
        Fatal: the input topic is missing.
    """
    topic = settings.input_topic
    partitions = partitions_of(admin, topic)
    ranges = offset_ranges(admin, topic, partitions, stable=True)
    ends = {p: end for p, (_, end) in ranges.items()}
    if moment.time_ms is not None:
        offsets = _offsets_at(admin, topic, ends, moment.time_ms)
        for partition, offset in offsets.items():
            if 0 < ranges[partition][0] >= offset:
                raise Refused(
                    f"{topic}, partition {partition}: retention deleted the input before offset {offset}, so "
                    f"the input before {moment.text} is unknown",
                    "choose a later time, or give offsets",
                )
        return {p: min(ends[p], each) for p, each in offsets.items()}
    if not moment.offsets:
        options = reader_options(settings)
        committed = committed_offsets(options, topic, partitions, COMMITTED_TIMEOUT_S)
        return {partition: offset or 0 for partition, offset in committed.items()}
    if moment.offsets.keys() != set(partitions):
        names = ", ".join(map(str, partitions))
        raise Misconfigured(f"{topic} has the partitions {names}", "give an offset for each of them")
    for partition, offset in moment.offsets.items():
        if offset > ends[partition]:
            raise Misconfigured(
                f"{topic}, partition {partition}, ends at {ends[partition]}, before {offset}",
                "give an offset up to the end, or a time",
            )
    return dict(moment.offsets)


def _offsets_at(admin: Admin, topic: str, ends: Mapping[int, int], time_ms: int) -> dict[int, int]:
    """Return the first offsets with this timestamp or a later one; the end if there is none."""
    spec = OffsetSpec.for_timestamp(max(0, time_ms))  # negative numbers have special meanings
    requests = {TopicPartition(topic, partition): spec for partition in ends}
    try:
        futures = admin.list_offsets(requests, request_timeout=REQUEST_TIMEOUT_S)
        found_offsets = {each.partition: wait_for_result(future).offset for each, future in futures.items()}
    except KafkaException as error:
        raise from_call(kafka_error(error)) from error
    return {p: ends[p] if offset < 0 else offset for p, offset in found_offsets.items()}
