"""Offsets of several topics and of the group, for metrics and tools; the worker itself does not use them."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from stream.core.evidence import CommittedOffset
from stream.errors import Retriable
from stream.kafka.clients import Admin, Options, make_consumer
from stream.kafka.failure import from_call, kafka_error
from stream.kafka.futures import wait_for_result
from stream.kafka.offsets import METADATA_TIMEOUT_S, REQUEST_TIMEOUT_S, offset_ranges, partitions_of

FIRST_RECORD_S_MAX = 5.0  # to find a record below the last stable offset
_FETCH_BYTES = 64 * 1024

ByTopic = dict[str, dict[int, int]]


class FirstRecord(NamedTuple):
    """The first record that a consumer finds in a span of offsets; its timestamp in ms, 0 if unknown."""

    offset: int
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class ClusterOffsets:
    """Offsets of topics and of the group.

    Attributes:
        last_stable_offsets: topic -> partition -> last stable offset.
        end_offsets: topic -> partition -> high watermark, requested before the last stable offset.
        first_offsets: input partition -> first offset of the log, for the requested partitions.
        committed: input partition -> committed offset, for requested partitions that have one.
    """

    last_stable_offsets: ByTopic
    end_offsets: ByTopic
    first_offsets: dict[int, int]
    committed: dict[int, CommittedOffset]


class OffsetsPoller:
    """Requests offsets through its own admin client, which is replaced after a failed request."""

    def __init__(self, make_admin: Callable[[], Admin], options: Options, topics: Sequence[str]) -> None:
        """`options` are those of a consumer of the group. The first topic is the input."""
        self._make_admin = make_admin
        self._options = options
        self._topics = topics
        self._admin: Admin | None = None

    def poll(self, partitions: Sequence[int] | None) -> ClusterOffsets:
        """Return the offsets of all topics, and the group's offsets in these input partitions (None: in all).

        Raises:
            Retriable: the broker is unavailable.
            Fatal: a topic is missing, or access is denied.
        """
        if self._admin is None:
            self._admin = self._make_admin()
        admin, input_topic = self._admin, self._topics[0]
        try:
            numbers = {topic: partitions_of(admin, topic) for topic in self._topics}
            topic_partitions = [TopicPartition(topic, p) for topic in self._topics for p in numbers[topic]]
            end_offsets = last_offsets(admin, topic_partitions, stable=False)
            last_stable_offsets = last_offsets(admin, topic_partitions, stable=True)
            asked = numbers[input_topic] if partitions is None else partitions
            ranges = offset_ranges(admin, input_topic, asked)
        except Retriable:
            self._admin = None
            raise
        first_offsets = {partition: first for partition, (first, _) in ranges.items()}
        committed = group_offsets(self._options, input_topic, asked)
        return ClusterOffsets(last_stable_offsets, end_offsets, first_offsets, committed)

    def first_records(self, spans: Mapping[int, tuple[int, int]]) -> dict[int, FirstRecord]:
        """Return the first record in each span of offsets of the input that has one.

        Raises:
            Retriable: the broker is unavailable.
        """
        return first_records(self._options, self._topics[0], spans)


def last_offsets(admin: Admin, topic_partitions: Sequence[TopicPartition], *, stable: bool) -> ByTopic:
    """Return the high watermarks, or if `stable` the last stable offsets, with one request per broker.

    Raises:
        Retriable: the broker is unavailable.
    """
    level = IsolationLevel.READ_COMMITTED if stable else IsolationLevel.READ_UNCOMMITTED
    offsets: ByTopic = {}
    try:
        futures = admin.list_offsets(
            dict.fromkeys(topic_partitions, OffsetSpec.latest()),
            isolation_level=level,
            request_timeout=REQUEST_TIMEOUT_S,
        )
        for topic_partition, future in futures.items():
            offset = wait_for_result(future).offset
            offsets.setdefault(topic_partition.topic, {})[topic_partition.partition] = offset
    except KafkaException as error:
        raise from_call(kafka_error(error)) from error
    if any(offset < 0 for by_partition in offsets.values() for offset in by_partition.values()):
        raise Retriable("the broker returned no offset")
    return offsets


def group_offsets(options: Options, topic: str, partitions: Sequence[int]) -> dict[int, CommittedOffset]:
    """Return the group's committed offsets, for partitions that have one, even while transactions are open.

    A consumer sends the request, because librdkafka's admin client aborts the process if the group's
    coordinator becomes available again while such a request is open (`rd_kafka_enq_once_del_source_return`).

    Raises:
        Retriable: the broker is unavailable.
        Refused: access is denied.
    """
    if not partitions:
        return {}
    consumer = make_consumer({**options, "isolation.level": "read_uncommitted"})
    try:
        committed = consumer.committed([TopicPartition(topic, p) for p in partitions], REQUEST_TIMEOUT_S)
    except KafkaException as error:
        raise from_call(kafka_error(error)) from error
    finally:
        consumer.close()
    return {
        each.partition: CommittedOffset(each.offset, each.metadata or "")
        for each in committed
        if each.error is None and each.offset >= 0
    }


def first_records(
    options: Options, topic: str, spans: Mapping[int, tuple[int, int]]
) -> dict[int, FirstRecord]:
    """Return the first committed record in each span of offsets that has one.

    A span that is not read in time counts as one with a record at its start, so that no lag is hidden.

    Raises:
        Retriable: the broker is unavailable.
    """
    if not spans:
        return {}
    consumer = make_consumer({**options, "fetch.message.max.bytes": _FETCH_BYTES, "fetch.wait.max.ms": 20})
    records: dict[int, FirstRecord] = {}
    unread = dict(spans)
    try:
        consumer.assign([TopicPartition(topic, p, start) for p, (start, _) in spans.items()])
        deadline = time.monotonic() + FIRST_RECORD_S_MAX + METADATA_TIMEOUT_S
        while unread and time.monotonic() < deadline:
            message = consumer.poll(0.1)
            if message is None or (partition := message.partition()) not in unread:
                continue
            offset = message.offset() or 0
            if message.error() is None and offset < unread[partition][1]:
                records[partition] = FirstRecord(offset, message.timestamp()[1])
            elif offset < unread[partition][1]:
                continue
            del unread[partition]
            consumer.incremental_unassign([TopicPartition(topic, partition)])
    except KafkaException as error:
        raise from_call(kafka_error(error)) from error
    finally:
        consumer.close()
    return records | {partition: FirstRecord(start, 0) for partition, (start, _) in unread.items()}
