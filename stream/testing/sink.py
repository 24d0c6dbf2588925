"""The port `Sink` on the fake cluster."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from stream.core.fold import Changes
from stream.core.records import Header, OutputRecord
from stream.errors import Blocked, Fenced, InDoubt
from stream.ports import CommittedOffset
from stream.testing.cluster import FakeCluster
from stream.testing.faults import Faults, faulty
from stream.testing.group import Membership
from stream.testing.log import Record
from stream.testing.names import Names

_Answer = TypeVar("_Answer")


@dataclass(slots=True)
class _Producer:
    """One producer with the transactional id.

    Attributes:
        epoch: given by the coordinator.
        began_at: when its open transaction began; None without one.
        changelog: partition -> offset of the open transaction's last changelog record.
    """

    epoch: int
    began_at: float | None
    changelog: dict[int, int]


class FakeSink:
    """A transactional producer.

    It asserts what a real one reports with a confusing error: nothing is sent outside a transaction, no
    transaction begins within another one, and after InDoubt only `reset_producer` is called.
    """

    def __init__(
        self, cluster: FakeCluster, names: Names, transactional_id: str, faults: Faults | None = None
    ) -> None:
        self.faults: Faults = faults or Faults()
        self._cluster = cluster
        self._names = names
        self._id = transactional_id
        self._producer: _Producer | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the producer can be used."""
        return self._producer is not None

    @faulty("sink.check")
    def check(self, partition: int) -> None:
        for topic in (self._names.results, self._names.counts):
            if partition >= self._cluster.partitions(topic):
                raise Blocked(f"{topic} lacks partition {partition}", "create it")

    def begin(self) -> None:
        self._guarded(self._begin)

    def produce(self, records: Iterable[OutputRecord]) -> None:
        for record in records:
            self._guarded(partial(self._produce, record))

    def produce_changelog(self, partition: int, changes: Changes, headers: Sequence[Header]) -> None:
        self._guarded(lambda: self._produce_changelog(partition, changes, headers))

    def send_offsets(self, offsets: Mapping[int, CommittedOffset], group_metadata: object) -> None:
        self._guarded(lambda: self._send_offsets(offsets, group_metadata))

    def commit(self) -> Mapping[int, int]:
        return self._guarded(self._commit)

    def abort(self) -> None:
        self._guarded(self._abort)

    @faulty("sink.reset_producer")
    def reset_producer(self) -> None:
        self._producer = None
        epoch = self._cluster.coordinator.init(self._id)
        self._producer = _Producer(epoch, None, {})

    @faulty("sink.close")
    def close(self) -> None:
        self._producer = None

    @faulty("sink.begin")
    def _begin(self) -> None:
        producer = self._open()
        assert producer.began_at is None, "a transaction is open"
        producer.began_at = self._cluster.clock.monotonic()
        producer.changelog = {}

    @faulty("sink.produce")
    def _produce(self, record: OutputRecord) -> None:
        partition = record.partition
        if record.topic == self._names.dead_letters:
            partition %= self._cluster.partitions(record.topic)
        plain = Record(record.key, record.value, record.headers, record.timestamp_ms)
        self._append(record.topic, partition, plain)

    @faulty("sink.produce_changelog")
    def _produce_changelog(self, partition: int, changes: Changes, headers: Sequence[Header]) -> None:
        producer, last = self._open(), len(changes) - 1
        for number, (key, value) in enumerate(changes.items()):
            record = Record(key, value, headers if number == last else ())
            producer.changelog[partition] = self._append(self._names.counts, partition, record)

    @faulty("sink.send_offsets")
    def _send_offsets(self, offsets: Mapping[int, CommittedOffset], group_metadata: object) -> None:
        assert group_metadata is None or isinstance(group_metadata, Membership)
        group = self._cluster.group(self._names.group, self._names.input)
        coordinator = self._cluster.coordinator
        self._request(
            "sink.send_offsets",
            lambda epoch: coordinator.send_offsets(self._id, epoch, group, offsets, group_metadata),
        )

    @faulty("sink.commit")
    def _commit(self) -> Mapping[int, int]:
        self._request(
            "sink.commit", lambda epoch: self._cluster.coordinator.end(self._id, epoch, commit=True)
        )
        producer = self._open()
        producer.began_at = None
        return {partition: offset + 1 for partition, offset in producer.changelog.items()}

    @faulty("sink.abort")
    def _abort(self) -> None:
        self._request(
            "sink.abort", lambda epoch: self._cluster.coordinator.end(self._id, epoch, commit=False)
        )
        self._open().began_at = None

    def _append(self, topic: str, partition: int, record: Record) -> int:
        log = self._cluster.log(topic, partition)
        return self._request(
            "sink.produce",
            lambda epoch: self._cluster.coordinator.append(self._id, epoch, log, record),
        )

    def _request(self, call: str, request: Callable[[int], _Answer]) -> _Answer:
        """Send a request to the coordinator; it may arrive late."""
        epoch = self._in_transaction()
        late_s = self.faults.late_s(call)
        if late_s is None:
            return request(epoch)
        self._cluster.later(late_s, lambda: request(epoch))
        raise InDoubt(f"{call}: no response")

    def _guarded(self, call: Callable[[], _Answer]) -> _Answer:
        """Map a fence as the real adapter does, and discard the producer after InDoubt.

        If the transaction has outlived its timeout, the coordinator fenced the producer, not a successor: a
        new producer with the same id may continue.
        """
        producer = self._open()
        try:
            return call()
        except Fenced as fenced:
            age_s = 0.0 if producer.began_at is None else self._cluster.clock.monotonic() - producer.began_at
            self._producer = None
            if age_s > self._cluster.coordinator.timeout_s:
                raise InDoubt(f"open for {age_s:.1f} s: {fenced}") from fenced
            raise
        except InDoubt:
            self._producer = None
            raise

    def _open(self) -> _Producer:
        assert self._producer is not None, "reset the producer first"
        return self._producer

    def _in_transaction(self) -> int:
        producer = self._open()
        assert producer.began_at is not None, "begin first"
        return producer.epoch
