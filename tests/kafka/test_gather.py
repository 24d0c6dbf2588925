"""A gather that fails gives nothing away: what it had taken, and what the client had in hand, comes again."""

from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from support.topics import settings_of

from stream.core.records import InputRecord
from stream.errors import Retriable
from stream.kafka import clients
from stream.kafka.offsets import Offsets
from stream.kafka.source import BatchLimits, KafkaSource


def message(offset: int, partition: int = 0, value: bytes = b"x") -> Message:
    return Message(
        topic="text-blobs", partition=partition, offset=offset, key=b"k", value=value, timestamp=(1, 5)
    )


class Client:
    """librdkafka's side of one partition: what it has handed out, or had in hand when it failed, is gone."""

    def __init__(self) -> None:
        self.position = 0
        self.fails = 1

    def consumer_group_metadata(self) -> None:
        return None

    def poll(self, _wait_s: float) -> Message:
        return self.consume(1, 0)[0]

    def consume(self, records_max: int, _wait_s: float) -> list[Message]:
        begin, self.position = self.position, self.position + records_max
        if begin and self.fails:
            self.fails -= 1
            raise KafkaException(KafkaError(KafkaError._STATE))
        return [message(offset) for offset in range(begin, self.position)]

    def seek(self, at: TopicPartition) -> None:
        self.position = at.offset

    def resume(self, _partitions: Any) -> None:
        """All it has is handed out anyway."""


def source_of(client: object) -> KafkaSource:
    settings = settings_of({})
    looked = Offsets(lambda: clients.make_admin(settings))
    limits = BatchLimits(records_max=4, bytes_max=1_000, interval_s=0.1)
    source = KafkaSource(clients.member_options(settings, "one"), looked, settings.input_topic, limits)
    source._consumer.close()
    source._consumer = cast("Any", client)
    return source


def test_a_failed_gather_skips_nothing() -> None:
    source = source_of(Client())
    source.start(0, 0)
    with pytest.raises(Retriable):
        source.poll_batch(1)
    assert [record.offset for record in source.poll_batch(1).records] == [0, 1, 2, 3]


def test_records_are_what_the_messages_say_of_started_partitions_alone() -> None:
    source, found = source_of(Client()), list[InputRecord]()
    source.start(0, 3)
    source.start(1, 0)
    source._at.seek.clear()
    runs = [(0, 3), (0, 4), (1, 0), (2, 7), (0, 6), (1, 1), (1, 1), (1, 0), (0, 5)]
    source._take([message(offset, partition, b"v%d" % offset) for partition, offset in runs], found)
    taken = [(0, 3), (0, 4), (1, 0), (0, 6), (1, 1)]  # a gap is one of the log; what was passed is not due
    assert [(record.partition, record.offset) for record in found] == taken
    assert found[0] == InputRecord(source._topic, 0, 3, b"k", b"v3", (), 5)
    assert source._at.position == {0: 7, 1: 2}
