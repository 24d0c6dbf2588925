"""The fake cluster and a real one behind one interface, so that a test makes the same calls on both.

Real Kafka responds later than the fake, so a test waits until its state equals that of the fake.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from confluent_kafka import Producer, TopicPartition
from support.sinks import make_sink
from support.topics import admin_of, settings_of

from stream.core.evidence import CommittedOffset
from stream.core.records import InputRecord
from stream.errors import Retriable, StreamError
from stream.kafka import clients, offsets
from stream.kafka.input_records import BatchLimits
from stream.kafka.sink import KafkaSink
from stream.kafka.source import KafkaSource
from stream.ports import Sink, Source
from stream.testing.cluster import FakeCluster
from stream.testing.names import Names
from stream.testing.pipeline import FakePipeline
from stream.testing.sink import FakeSink
from stream.testing.source import FakeSource
from stream.tools.kafka.topic_reader import read_topic

T = TypeVar("T")
Seen = tuple[int, bytes | None, bytes | None]  # offset, key, value
RESPONSE_S_MAX = 30.0
TIMEOUT_S = 60.0  # of a transaction: none may time out during a trace
BRIEF_S = 1.0  # of a transaction that is to time out
LISTED = ("results", "counts")


@dataclass(frozen=True)
class Sight:
    """The visible state of a partition: first, last stable and end offset, committed records."""

    first: int
    stable: int
    end: int
    records: tuple[Seen, ...]


class World(Protocol):
    """The part of a cluster that a trace needs."""

    names: Names

    def sink(self, transactional_id: str, *, brief: bool = False) -> Sink: ...
    def source(self) -> Source: ...
    def metadata(self, source: Source) -> object:
        """Return the group metadata as of now."""

    def submit(self, partition: int, value: bytes) -> int: ...
    def flush(self, sink: Sink) -> None: ...
    def outlast(self) -> None:
        """Wait until the coordinator aborts a brief transaction; no other may be open."""

    def trim(self, topic: str, partition: int, first: int) -> None: ...
    def inspect(self, topic: str, partition: int) -> Sight: ...
    def committed(self) -> dict[int, CommittedOffset | None] | None:
        """Return the group's stable offsets; None while an open transaction may change some."""

    def agree(self, ask: Callable[[], T], expected: T | None) -> T:
        """Return the result of `ask`, repeated for a limited time until it is `expected`."""

    def close(self) -> None: ...


class FakeWorld:
    def __init__(self, partitions: int, *, classic: bool, timeout_s: float = BRIEF_S) -> None:
        self.names = Names()
        self.cluster = FakeCluster(transaction_timeout_s=timeout_s, classic=classic)
        self.partitions = partitions
        self._pipeline = FakePipeline(partitions, cluster=self.cluster)

    def sink(self, transactional_id: str, *, brief: bool = False) -> Sink:
        return FakeSink(self.cluster, self.names, transactional_id)

    def source(self) -> Source:
        return FakeSource(self.cluster, self.names.input, self.names.group)

    def metadata(self, source: Source) -> object:
        assert isinstance(source, FakeSource)
        assert source.member is not None
        return self._pipeline.group.membership(source.member)

    def submit(self, partition: int, value: bytes) -> int:
        return self._pipeline.submit(value, partition)

    def flush(self, sink: Sink) -> None:
        pass  # all records arrive at once

    def outlast(self) -> None:
        self.cluster.clock.advance(BRIEF_S + 0.1)
        self.cluster.settle()

    def trim(self, topic: str, partition: int, first: int) -> None:
        self.cluster.log(topic, partition).trim(first)

    def inspect(self, topic: str, partition: int) -> Sight:
        log = self.cluster.log(topic, partition)
        seen = tuple((o, r.key, r.value) for o, r in self.cluster.committed(topic, partition))
        return Sight(log.first_offset, log.last_stable_offset, log.high_watermark, seen)

    def committed(self) -> dict[int, CommittedOffset | None] | None:
        self.cluster.settle()
        try:
            return dict(self._pipeline.group.committed(range(self.partitions)))
        except Retriable:
            return None

    def agree(self, ask: Callable[[], T], expected: T | None) -> T:
        return ask()

    def close(self) -> None:
        pass


class KafkaWorld:
    def __init__(self, env: dict[str, str], partitions: int) -> None:
        self._settings = settings = settings_of(env)
        self.names = Names(
            settings.input_topic,
            settings.result_topic,
            settings.count_topic,
            settings.dead_letter_topic,
            settings.group_id,
        )
        self.partitions = partitions
        self._admin = admin_of(env)
        self._stable: KafkaSource | None = None
        self._producer = Producer(
            {"bootstrap.servers": settings.bootstrap_servers, "linger.ms": 0, "log_level": 0}
        )

    def sink(self, transactional_id: str, *, brief: bool = False) -> Sink:
        timeout_s = BRIEF_S if brief else TIMEOUT_S
        settings = self._settings.model_copy(update={"transaction_timeout_ms": int(timeout_s * 1000)})
        options = clients.transactional_options(settings, transactional_id, 1_000_000)
        return make_sink(settings, options, timeout_s)

    def source(self) -> Source:
        offsets_client = offsets.Offsets(lambda: clients.make_admin(self._settings))
        limits = BatchLimits(records_max=100, bytes_max=1 << 20, interval_s=0.05)
        protocol = self._settings.group_protocol.replace("auto", "consumer")
        options = clients.member_options(self._settings, f"member-{time.monotonic_ns()}", protocol)
        return KafkaSource(options, offsets_client, self._settings.input_topic, limits)

    def metadata(self, source: Source) -> object:
        assert isinstance(source, KafkaSource)
        return source._consumer.consumer_group_metadata()

    def submit(self, partition: int, value: bytes) -> int:
        taken: list[int | None] = []
        self._producer.produce(
            self.names.input, value, None, partition, on_delivery=lambda _, m: taken.append(m.offset())
        )
        assert self._producer.flush(RESPONSE_S_MAX) == 0
        assert taken[0] is not None
        return taken[0]

    def flush(self, sink: Sink) -> None:
        assert isinstance(sink, KafkaSink)
        sink._burst.release()
        sink._call(lambda: sink._open().flush(RESPONSE_S_MAX))  # flush serves callbacks

    def outlast(self) -> None:
        time.sleep(BRIEF_S)
        self.agree(self._is_anything_open, expected=False)

    def _is_anything_open(self) -> bool:
        return self.committed() is None or any(
            sight.stable < sight.end
            for role in LISTED
            for sight in (self.inspect(getattr(self.names, role), p) for p in range(self.partitions))
        )

    def trim(self, topic: str, partition: int, first: int) -> None:
        position = TopicPartition(topic, partition, first)
        for future in self._admin.delete_records([position]).values():
            future.result(RESPONSE_S_MAX)

    def inspect(self, topic: str, partition: int) -> Sight:
        first, end = offsets.offset_ranges(self._admin, topic, [partition])[partition]
        _, stable = offsets.offset_ranges(self._admin, topic, [partition], stable=True)[partition]
        options = clients.reader_options(self._settings)
        records = read_topic(options, self._admin, topic, ends={partition: stable})
        return Sight(first, stable, end, tuple((r.offset, r.key, r.value) for r in records))

    def committed(self) -> dict[int, CommittedOffset | None] | None:
        if self._stable is None:
            limits = BatchLimits(1, 1, 0.0)
            offsets_client = offsets.Offsets(lambda: clients.make_admin(self._settings))
            options = clients.reader_options(self._settings)
            self._stable = KafkaSource(options, offsets_client, self.names.input, limits)
        try:
            return dict(self._stable.committed(range(self.partitions)))
        except Retriable:
            return None

    def agree(self, ask: Callable[[], T], expected: T | None) -> T:
        deadline = time.monotonic() + RESPONSE_S_MAX
        while (result := ask()) != expected and time.monotonic() < deadline:
            time.sleep(0.05)
        return result

    def close(self) -> None:
        if self._stable is not None:
            self._stable.close()


@dataclass
class Member:
    """One member of the group in one world; it resumes partitions at the committed offset, else at 0."""

    world: World
    source: Source
    owned: set[int] = field(default_factory=set)
    paused: set[int] = field(default_factory=set)
    records: list[InputRecord] = field(default_factory=list)

    def join(self) -> None:
        self.source.subscribe(self)

    def assigned(self, partitions: Sequence[int]) -> None:
        self.owned.update(partitions)
        self.paused.update(partitions)

    def revoked(self, partitions: Sequence[int]) -> None:
        self.owned.difference_update(partitions)
        self.paused.difference_update(partitions)
        self.records = [record for record in self.records if record.partition not in partitions]

    def lost(self, partitions: Sequence[int]) -> None:
        self.revoked(partitions)

    def run_once(self) -> str:
        """Poll once, and resume partitions that can be resumed; return the name of the error, or empty."""
        try:
            batch = self.source.poll_batch(0.1)
            if batch.records:
                self.records += batch
            for partition in sorted(self.paused):
                committed = self.source.committed([partition])[partition]
                self.source.resume_from(partition, 0 if committed is None else committed.offset, -1)
                self.paused.discard(partition)
        except Retriable:
            return ""
        except StreamError as error:
            return type(error).__name__
        return ""

    def has(self) -> tuple[tuple[int, int, bytes | None], ...]:
        """Return partition, offset and value of the records that it received and has not committed."""
        return tuple(sorted((r.partition, r.offset, r.value) for r in self.records))

    def leave(self) -> None:
        self.source.close()
        self.owned.clear()
        self.paused.clear()
        self.records.clear()
