"""A failed poll loses no record: records that it took or that the client queued are delivered again."""

from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from support.topics import settings_of

from stream.core.records import InputRecord
from stream.errors import Fenced, Retriable
from stream.kafka import clients
from stream.kafka.input_records import BatchLimits, Gathered
from stream.kafka.offsets import Offsets
from stream.kafka.source import KafkaSource


def message(offset: int, partition: int = 0, value: bytes = b"x") -> Message:
    return Message(
        topic="text-blobs", partition=partition, offset=offset, key=b"k", value=value, timestamp=(1, 5)
    )


class Client:
    """Stands in for librdkafka on one partition; a failure loses the records that it was about to return."""

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

    def seek(self, position: TopicPartition) -> None:
        self.position = position.offset

    def resume(self, _partitions: Any) -> None:
        pass


def source_of(client: object) -> KafkaSource:
    settings = settings_of({})
    offsets = Offsets(lambda: clients.make_admin(settings))
    limits = BatchLimits(records_max=4, bytes_max=1_000, interval_s=0.1)
    source = KafkaSource(
        clients.member_options(settings, "one", "consumer"), offsets, settings.input_topic, limits
    )
    source._consumer.close()
    source._consumer = cast("Any", client)
    return source


def test_poll_that_fails_skips_no_record() -> None:
    source = source_of(Client())
    source.resume_from(0, 0, -1)
    with pytest.raises(Retriable):
        source.poll_batch(1)
    assert [record.offset for record in source.poll_batch(1)] == [0, 1, 2, 3]


def test_only_due_records_of_resumed_partitions_are_taken() -> None:
    source, gathered = source_of(Client()), Gathered()
    source.resume_from(0, 3, -1)
    source.resume_from(1, 0, -1)
    source._positions.seek.clear()
    runs = [(0, 3), (0, 4), (1, 0), (2, 7), (0, 6), (1, 1), (1, 1), (1, 0), (0, 5)]
    source._take([message(offset, partition, b"v%d" % offset) for partition, offset in runs], gathered)
    due = {0: [3, 4, 6], 1: [0, 1]}  # a gap in the log is accepted; earlier records are not
    assert {number: records.offsets for number, records in gathered.records.items()} == due
    assert gathered.records[0][0] == InputRecord(source._topic, 0, 3, b"k", b"v3", (), 5)
    assert source._positions.position == {0: 7, 1: 2}


class RefusedClient(Client):
    """Reports once that the group refused this member and nothing after that, as librdkafka does."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals = 1

    def poll(self, _wait_s: float) -> Any:
        self.refusals -= 1
        if self.refusals >= 0:
            raise KafkaException(KafkaError(KafkaError.FENCED_INSTANCE_ID))
        return None

    def committed(self, *_: object) -> Any:
        raise KafkaException(KafkaError(KafkaError.FENCED_INSTANCE_ID))

    def assignment(self) -> list[TopicPartition]:
        return []

    def close(self) -> None:
        pass


def test_refused_member_joins_again_once_a_broker_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    source, brokers = source_of(RefusedClient()), list[bool]()
    source._stays = True
    joined = Client()
    joined.fails = 0
    monkeypatch.setattr("stream.kafka.source.make_consumer", lambda _: joined)

    def offset_range(_topic: str, _partition: int) -> tuple[int, int]:
        if not brokers:
            raise Retriable("unavailable")
        return 0, 0

    monkeypatch.setattr(source._offsets, "range", offset_range)
    for _ in range(3):
        with pytest.raises(Retriable):
            source.poll_batch(0.1)
    brokers.append(True)
    with pytest.raises(Fenced):
        source.poll_batch(0.1)
    source.resume_from(0, 0, -1)
    assert len(list(source.poll_batch(0.1))) == 4


def test_refusal_that_another_call_reports_is_kept_for_the_next_poll() -> None:
    client = RefusedClient()
    client.refusals = 0
    source = source_of(client)
    with pytest.raises(Retriable):
        source.committed([0])
    assert isinstance(source._refusal, Fenced)
