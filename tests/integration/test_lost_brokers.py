"""A client that has lost its brokers for good (librdkafka#5301) is replaced."""

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest
from confluent_kafka import Producer
from support.environment import SHORT_SESSIONS, own_env
from support.topics import make_topics, settings_of, wait_until

from stream.broker.embedded import EmbeddedBroker
from stream.config import Settings
from stream.kafka import clients, connection
from stream.kafka.input_records import BatchLimits
from stream.kafka.offsets import Offsets
from stream.kafka.reader import KafkaReader
from stream.kafka.source import KafkaSource
from stream.tools.chaos.proxy import Api, FaultProxy, NoBrokers, Rule, When
from stream.tools.kafka.topic_reader import read_topic

pytestmark = [pytest.mark.broker, pytest.mark.embedded]
VICTIM = {"client.id": "victim"}
SECONDS_MAX = 40.0


class Pipeline:
    """A broker behind a proxy."""

    def __init__(self, proxy: FaultProxy, settings: Settings, direct_env: dict[str, str]) -> None:
        self.settings = settings
        self._proxy = proxy
        self._producer = Producer({"bootstrap.servers": direct_env["STREAM_BOOTSTRAP_SERVERS"]})

    def produce(self, topic: str, key: bytes) -> None:
        self._producer.produce(topic, b"1", key, 0)
        assert self._producer.flush(20) == 0

    def lose_brokers(self, meanwhile: Callable[[], object]) -> None:
        """Let the victim's next metadata response list no broker, and wait for it."""
        rule = self._proxy.add(Rule(Api.METADATA, NoBrokers(), When.once(), client="victim"))
        wait_until(lambda: (meanwhile(), rule.injected)[1], SECONDS_MAX, every=0.01)

    def offsets(self) -> Offsets:
        return Offsets(lambda: clients.make_admin(self.settings))


@pytest.fixture
def pipeline(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    monkeypatch.setattr(connection, "CHECKED_S", 0.5)
    monkeypatch.setattr(connection, "METADATA_S_MAX", 0.5)
    monkeypatch.setattr(connection, "LOST_S_MAX", 2.0)
    proxy = FaultProxy()
    listeners, advertised = {"PROXIED": "PLAINTEXT"}, {"PROXIED": proxy.port}
    with (
        proxy,
        EmbeddedBroker(properties=SHORT_SESSIONS, listeners=listeners, advertised=advertised) as broker,
    ):
        proxy.start(broker.bound("PROXIED"))
        env = make_topics(own_env(broker.bootstrap_servers, tmp_path_factory.mktemp("state")), partitions=2)
        yield Pipeline(proxy, settings_of({**env, "STREAM_BOOTSTRAP_SERVERS": proxy.address}), env)


def test_readers_that_have_lost_all_brokers_continue_where_they_were(pipeline: Pipeline) -> None:
    topic, options = pipeline.settings.count_topic, {**clients.reader_options(pipeline.settings), **VICTIM}
    followed, restored, stopped = list[bytes | None](), list[bytes](), threading.Event()

    def follow() -> None:
        admin = clients.make_admin(pipeline.settings)
        followed.extend(
            record.key for record in read_topic(options, admin, topic, follow=lambda: not stopped.is_set())
        )

    reader = KafkaReader(options, pipeline.offsets(), topic)
    reader.start(0, 0)

    def restore() -> list[bytes]:
        restored.extend(key for chunk in reader.read(0.1) for key in chunk.changes)
        return restored

    pipeline.produce(topic, b"act")
    wait_until(lambda: restore() == [b"act"], SECONDS_MAX, every=0.01)
    pipeline.lose_brokers(meanwhile=restore)
    pipeline.produce(topic, b"dgo")
    wait_until(lambda: len(restore()) > 1, SECONDS_MAX, every=0.01)
    reader.close()
    assert restored == [b"act", b"dgo"]

    thread = threading.Thread(target=follow)
    thread.start()
    pipeline.lose_brokers(meanwhile=lambda: None)
    pipeline.produce(topic, b"aet")
    thread.join(10)
    stopped.set()
    thread.join()
    assert followed == [b"act", b"dgo", b"aet"]


class Resuming:
    """Resumes each partition where it was; records the lost partitions."""

    def __init__(self, source: KafkaSource) -> None:
        self.keys = list[bytes | None]()
        self.lost_partitions = set[int]()
        self._source = source
        self._next_offset = {0: 0, 1: 0}
        self._waiting = set[int]()

    def assigned(self, partitions: Sequence[int]) -> None:
        self._waiting |= set(partitions)

    def revoked(self, partitions: Sequence[int]) -> None:
        self._waiting -= set(partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        self.lost_partitions |= set(partitions)
        self.revoked(partitions)

    def poll(self) -> int:
        """Poll once; return how many records have arrived."""
        for record in self._source.poll_batch(0.1):
            self.keys.append(record.key)
            self._next_offset[record.partition] = record.offset + 1
        for partition in list(self._waiting):
            self._source.resume_from(partition, self._next_offset[partition], -1)
            self._waiting.discard(partition)
        return len(self.keys)


def test_group_member_that_has_lost_all_brokers_joins_again(pipeline: Pipeline) -> None:
    settings = pipeline.settings
    limits = BatchLimits(records_max=100, bytes_max=1 << 20, interval_s=0.01)
    options = {**clients.member_options(settings, "one", "consumer"), **VICTIM}
    source = KafkaSource(options, pipeline.offsets(), settings.input_topic, limits)
    member = Resuming(source)
    source.subscribe(member)
    pipeline.produce(settings.input_topic, b"before")
    wait_until(lambda: member.poll() == 1, SECONDS_MAX, every=0.01)
    pipeline.lose_brokers(meanwhile=member.poll)
    pipeline.produce(settings.input_topic, b"after")
    wait_until(lambda: member.poll() > 1, SECONDS_MAX, every=0.01)
    source.close()
    assert member.keys == [b"before", b"after"]
    assert member.lost_partitions == {0, 1}
