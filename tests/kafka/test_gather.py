"""A gather that fails gives nothing away: what it had taken, and what the client had in hand, comes again."""

from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from support.topics import settings_of

from stream.errors import Retriable
from stream.kafka import clients
from stream.kafka.offsets import Offsets
from stream.kafka.source import GatherLimits, KafkaSource


class Message:
    def __init__(self, offset: int) -> None:
        self._offset = offset

    def error(self) -> None:
        return None

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def key(self) -> None:
        return None

    def value(self) -> bytes:
        return b"x"

    def headers(self) -> None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return (1, 1)


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
        return [Message(offset) for offset in range(begin, self.position)]

    def seek(self, at: TopicPartition) -> None:
        self.position = at.offset

    def resume(self, _partitions: Any) -> None:
        """All it has is handed out anyway."""


def test_a_failed_gather_skips_nothing() -> None:
    settings = settings_of({})
    looked = Offsets(lambda: clients.make_admin(settings))
    limits = GatherLimits(records_max=4, bytes_max=1_000, interval_s=0.1)
    source = KafkaSource(clients.member_options(settings, "one"), looked, settings.input_topic, limits)
    source._consumer.close()
    source._consumer = cast("Any", Client())
    source.start(0, 0)
    with pytest.raises(Retriable):
        source.gather(1)
    assert [record.offset for record in source.gather(1).records] == [0, 1, 2, 3]
