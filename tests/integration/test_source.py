"""Random rewinds of the consumer neither skip nor repeat a record."""

import random
from collections.abc import Sequence

import pytest
from confluent_kafka import Producer
from support.topics import produce, settings_of

from stream.core.records import InputRecord
from stream.errors import Retriable
from stream.kafka import clients
from stream.kafka.input_records import BatchLimits
from stream.kafka.offsets import Offsets
from stream.kafka.source import KafkaSource

pytestmark = pytest.mark.broker
RECORDS = 4000


class Resuming:
    """Starts every assigned partition from offset 0."""

    def __init__(self, source: KafkaSource) -> None:
        self._source = source
        self.waiting: list[int] = []

    def assigned(self, partitions: Sequence[int]) -> None:
        self.waiting += partitions

    def revoked(self, partitions: Sequence[int]) -> None:
        assert not partitions

    def lost(self, partitions: Sequence[int]) -> None:
        assert not partitions

    def resume(self) -> None:
        for partition in list(self.waiting):
            try:
                self._source.resume_from(partition, 0, -1)
            except Retriable:
                continue
            self.waiting.remove(partition)


def poll_with_rewinds(
    env: dict[str, str], rng: random.Random, protocol: str = "consumer"
) -> dict[int, list[InputRecord]]:
    settings = settings_of(env)
    limits = BatchLimits(records_max=200, bytes_max=1 << 20, interval_s=0.01)
    offsets = Offsets(lambda: clients.make_admin(settings))
    source = KafkaSource(
        clients.member_options(settings, "one", protocol), offsets, settings.input_topic, limits
    )
    listener = Resuming(source)
    source.subscribe(listener)
    taken: dict[int, list[InputRecord]] = {0: [], 1: []}
    rewinds = 0
    while sum(map(len, taken.values())) < RECORDS:
        batch = source.poll_batch(0.2)
        listener.resume()
        if not batch.records:
            continue
        if rng.random() < 0.4 and rewinds < 60:  # as after an abort: the whole batch again
            rewinds += 1
            start_offsets: dict[int, int] = {}
            for record in batch:
                start_offsets.setdefault(record.partition, record.offset)
            source.rewind(start_offsets)
            continue
        size = len(list(batch))
        processed = rng.randrange(1, size + 1) if rng.random() < 0.3 else size
        unprocessed: dict[int, int] = {}
        for number, record in enumerate(batch):
            if number < processed and record.partition not in unprocessed:
                taken[record.partition].append(record)
            else:
                unprocessed.setdefault(record.partition, record.offset)
        source.rewind(unprocessed)  # as if the time limit was reached
    assert rewinds > 5
    source.close()
    return taken


@pytest.mark.timeout(120)
@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_random_rewinds_neither_skip_nor_repeat(stream_env: dict[str, str], protocol: str) -> None:
    produce(stream_env, ((f"k{n}", f"{n}") for n in range(RECORDS)))
    taken = poll_with_rewinds(stream_env, random.Random(7), protocol)
    for records in taken.values():
        assert [record.offset for record in records] == list(range(len(records)))
    assert sorted(int(r.value or b"") for records in taken.values() for r in records) == list(range(RECORDS))


@pytest.mark.timeout(120)
def test_gaps_of_markers_and_aborted_records_skip_no_record(stream_env: dict[str, str]) -> None:
    producer = Producer(
        {
            "bootstrap.servers": stream_env["STREAM_BOOTSTRAP_SERVERS"],
            "transactional.id": stream_env["STREAM_INPUT_TOPIC"],
        }
    )
    producer.init_transactions(30)
    number = 0
    while number < RECORDS:
        producer.begin_transaction()
        for n in range(number, number + 100):
            producer.produce(stream_env["STREAM_INPUT_TOPIC"], f"{n}", f"k{n}")
        if number % 300 == 200:
            producer.flush(10)
            producer.abort_transaction()
            producer.begin_transaction()
            for n in range(number, number + 100):
                producer.produce(stream_env["STREAM_INPUT_TOPIC"], f"{n}", f"k{n}")
        producer.commit_transaction()
        number += 100
    taken = poll_with_rewinds(stream_env, random.Random(11))
    assert sorted(int(r.value or b"") for records in taken.values() for r in records) == list(range(RECORDS))
    for records in taken.values():
        offsets = [record.offset for record in records]
        assert offsets == sorted(set(offsets))
