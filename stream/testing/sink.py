"""The port `Sink` on the fake cluster."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TypeVar

from stream.core.records import Header, OutputRecord
from stream.errors import Blocked, Fenced, InDoubt
from stream.ports import Changes, CommittedOffset
from stream.testing.cluster import FakeCluster
from stream.testing.faults import Faults, faulty
from stream.testing.group import Membership
from stream.testing.log import Record
from stream.testing.names import Names

_Answer = TypeVar("_Answer")


@dataclass(slots=True)
class _Producer:
    """One producer of our id.

    Attributes:
        epoch: what the coordinator knows it by.
        began: when its open transaction began; None without one.
        changelog: partition -> offset of the open transaction's last changelog record.
    """

    epoch: int
    began: float | None
    changelog: dict[int, int]


class FakeSink:
    """A transactional producer.

    It asserts what a real one answers with a confusing error: nothing is sent outside a transaction,
    none is begun within one, and after InDoubt nothing is done but `reset_producer`.
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
        """Whether there is a producer."""
        return self._producer is not None

    @faulty("sink.check")
    def check(self, partition: int) -> None:
        """Make sure that results and totals of this partition have a place to go."""
        for topic in (self._names.results, self._names.counts):
            if partition >= self._cluster.partitions(topic):
                raise Blocked(f"{topic} lacks partition {partition}", "create it")

    def begin(self) -> None:
        """Begin a transaction."""
        self._guarded(self._begin)

    def produce(self, records: Iterable[OutputRecord]) -> None:
        """Add results and dead letters."""
        for record in records:
            self._guarded(partial(self._produce, record))

    def produce_changelog(self, partition: int, changes: Changes, headers: Sequence[Header]) -> None:
        """Add changed totals; the last of them carries `headers`."""
        self._guarded(lambda: self._produce_changelog(partition, changes, headers))

    def send_offsets(self, offsets: Mapping[int, CommittedOffset], group: object) -> None:
        """Add the group's new committed offsets."""
        self._guarded(lambda: self._send_offsets(offsets, group))

    def commit(self) -> Mapping[int, int]:
        """Commit; return, by partition with changes, the changelog offset to restore from."""
        return self._guarded(self._commit)

    def commit_wait_s(self) -> float:
        """Return how long the last commit waited: so long that whatever may be done meanwhile is worth it."""
        return inf

    def abort(self) -> None:
        """Abort the open transaction."""
        self._guarded(self._abort)

    @faulty("sink.reset_producer")
    def reset_producer(self) -> None:
        """Begin with a new producer of the same id, which fences the old."""
        self._producer = None
        epoch = self._cluster.coordinator.init(self._id)
        self._producer = _Producer(epoch, None, {})

    @faulty("sink.close")
    def close(self) -> None:
        """Close; an open transaction is left to the next producer of this id, or to its timeout."""
        self._producer = None

    @faulty("sink.begin")
    def _begin(self) -> None:
        producer = self._open()
        assert producer.began is None, "a transaction is open"
        producer.began = self._cluster.clock.monotonic()
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
    def _send_offsets(self, offsets: Mapping[int, CommittedOffset], group: object) -> None:
        assert group is None or isinstance(group, Membership)
        of_group = self._cluster.group(self._names.group, self._names.input)
        coordinator = self._cluster.coordinator
        self._ask(
            "sink.send_offsets",
            lambda epoch: coordinator.send_offsets(self._id, epoch, of_group, offsets, group),
        )

    @faulty("sink.commit")
    def _commit(self) -> Mapping[int, int]:
        self._ask("sink.commit", lambda epoch: self._cluster.coordinator.end(self._id, epoch, commit=True))
        producer = self._open()
        producer.began = None
        return {partition: offset + 1 for partition, offset in producer.changelog.items()}

    @faulty("sink.abort")
    def _abort(self) -> None:
        self._ask("sink.abort", lambda epoch: self._cluster.coordinator.end(self._id, epoch, commit=False))
        self._open().began = None

    def _append(self, topic: str, partition: int, record: Record) -> int:
        log = self._cluster.log(topic, partition)
        return self._ask(
            "sink.produce",
            lambda epoch: self._cluster.coordinator.append(self._id, epoch, log, record),
        )

    def _ask(self, call: str, request: Callable[[int], _Answer]) -> _Answer:
        """Let the coordinator carry out a request, now or when the network lets it through."""
        epoch = self._in_transaction()
        late_s = self.faults.late_s(call)
        if late_s is None:
            return request(epoch)
        self._cluster.later(late_s, lambda: request(epoch))
        raise InDoubt(f"{call}: no answer")

    def _guarded(self, call: Callable[[], _Answer]) -> _Answer:
        """Report what befell the producer as the real adapter does, and hold the caller to it.

        Where our transaction has outlived its timeout, it was the coordinator that fenced us, not a
        successor: a new producer of the same id may go on.
        """
        producer = self._open()
        try:
            return call()
        except Fenced as why:
            age_s = 0.0 if producer.began is None else self._cluster.clock.monotonic() - producer.began
            self._producer = None
            if age_s > self._cluster.coordinator.timeout_s:
                raise InDoubt(f"open for {age_s:.1f} s: {why}") from why
            raise
        except InDoubt:
            self._producer = None
            raise

    def _open(self) -> _Producer:
        assert self._producer is not None, "reset the producer first"
        return self._producer

    def _in_transaction(self) -> int:
        producer = self._open()
        assert producer.began is not None, "begin first"
        return producer.epoch
