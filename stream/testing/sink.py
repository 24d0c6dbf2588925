"""The port `Sink` on the fake cluster."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TypeVar

from stream.core.columns import Outputs
from stream.core.dead_letter import is_dead_letter_of
from stream.core.evidence import (
    TOPICS_CHANGED_HINT,
    Appended,
    CommittedOffset,
    LogEnd,
    LogEnds,
    TopicIds,
    checksum,
)
from stream.core.fold import Changes
from stream.core.records import Header, OutputRecord
from stream.errors import Blocked, Fenced, InDoubt, LogsChanged
from stream.testing.cluster import FakeCluster
from stream.testing.faults import Faults, faulty
from stream.testing.group import Membership
from stream.testing.log import PartitionLog, Record
from stream.testing.names import Names

_Answer = TypeVar("_Answer")


@dataclass(slots=True)
class _Producer:
    """One producer with the transactional id.

    Attributes:
        epoch: the epoch that the coordinator assigned.
        began_at: when its open transaction began; None if no transaction is open.
        appended: input partition -> role -> what the open transaction appended.
    """

    epoch: int
    began_at: float | None
    appended: dict[int, dict[str, Appended]] = field(default_factory=dict)


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
        self.topic_ids: TopicIds = {
            role: cluster.topic_id(name) or "" for role, name in names.by_role.items()
        }

    @property
    def is_ready(self) -> bool:
        """Whether the producer can be used."""
        return self._producer is not None

    @faulty("sink.check")
    def check(self, partition: int) -> None:
        for topic in (self._names.results, self._names.counts):
            if partition >= self._cluster.partitions(topic):
                raise Blocked(f"{topic} lacks partition {partition}", "create it")

    @faulty("sink.check_topics")
    def check_topics(self) -> None:
        self._compare_topics()

    @faulty("sink.log_ends")
    def log_ends(self, ends: Mapping[int, LogEnds]) -> Mapping[int, LogEnds]:
        return {number: self._log_ends(by_role) for number, by_role in ends.items()}

    def _log_ends(self, ends: LogEnds) -> LogEnds:
        held = {}
        for role, known in ends.items():
            log = self._cluster.log(self._names.by_role[role], known.partition)
            offset = known.offset if _holds(log, known) else min(known.offset - 1, log.high_watermark)
            held[role] = known._replace(offset=offset, leader_epoch=log.leader_epoch)
        return held

    @faulty("sink.has_outcomes")
    def has_outcomes(self, partition: int) -> bool:
        dead_letters = self._names.dead_letters
        log = partition % self._cluster.partitions(dead_letters)
        return bool(self._cluster.committed(self._names.results, partition)) or any(
            is_dead_letter_of(record.headers, self._names.input, partition, self._names.group)
            for _, record in self._cluster.committed(dead_letters, log)
        )

    def begin(self) -> None:
        self._guarded(self._begin)

    def produce(self, outputs: Outputs) -> None:
        for record in chain(*outputs):
            self._guarded(partial(self._produce, record))

    def produce_changelog(self, partition: int, changes: Changes, headers: Sequence[Header]) -> None:
        self._guarded(lambda: self._produce_changelog(partition, changes, headers))

    def flush(self) -> Mapping[int, Mapping[str, Appended]]:
        return self._guarded(self._flush)

    def send_offsets(self, offsets: Mapping[int, CommittedOffset], group_metadata: object) -> None:
        self._guarded(lambda: self._send_offsets(offsets, group_metadata))

    def commit(self) -> None:
        self._guarded(self._commit)

    def abort(self) -> None:
        self._guarded(self._abort)

    @faulty("sink.reset_producer")
    def reset_producer(self) -> None:
        self._producer = None
        epoch = self._cluster.coordinator.init(self._id)
        self._producer = _Producer(epoch, None)

    @faulty("sink.close")
    def close(self) -> None:
        self._producer = None

    @faulty("sink.begin")
    def _begin(self) -> None:
        producer = self._open()
        assert producer.began_at is None, "a transaction is open"
        producer.began_at = self._cluster.clock.monotonic()
        producer.appended = {}

    @faulty("sink.produce")
    def _produce(self, record: OutputRecord) -> None:
        partition = record.partition
        if record.topic == self._names.dead_letters:
            partition %= self._cluster.partitions(record.topic)
        plain = Record(record.key, record.value, record.headers, record.timestamp_ms)
        role = next(role for role, name in self._names.by_role.items() if name == record.topic)
        self._append(record.partition, role, partition, plain)

    @faulty("sink.produce_changelog")
    def _produce_changelog(self, partition: int, changes: Changes, headers: Sequence[Header]) -> None:
        last = len(changes) - 1
        for number, (key, value) in enumerate(changes.items()):
            record = Record(key, value, headers if number == last else ())
            self._append(partition, "count", partition, record)

    @faulty("sink.flush")
    def _flush(self) -> Mapping[int, Mapping[str, Appended]]:
        self._in_transaction()
        self._compare_topics()
        return self._open().appended

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
    def _commit(self) -> None:
        self._request(
            "sink.commit", lambda epoch: self._cluster.coordinator.end(self._id, epoch, commit=True)
        )
        self._open().began_at = None

    @faulty("sink.abort")
    def _abort(self) -> None:
        self._request(
            "sink.abort", lambda epoch: self._cluster.coordinator.end(self._id, epoch, commit=False)
        )
        self._open().began_at = None

    def _append(self, owner: int, role: str, partition: int, record: Record) -> None:
        log = self._cluster.log(self._names.by_role[role], partition)
        offset = self._request(
            "sink.produce",
            lambda epoch: self._cluster.coordinator.append(self._id, epoch, log, record),
        )
        by_role = self._open().appended.setdefault(owner, {})
        records = by_role[role].records if role in by_role else 0
        last = checksum(record.key, record.value, record.headers)
        by_role[role] = Appended(partition, records + 1, offset + 1, last)

    def _compare_topics(self) -> None:
        for role, name in self._names.by_role.items():
            if self._cluster.topic_id(name) != self.topic_ids[role]:
                raise LogsChanged(f"the topic {name} was deleted", TOPICS_CHANGED_HINT)

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


def _holds(log: PartitionLog, known: LogEnd) -> bool:
    """Whether the log contains the last known record, or retention deleted it."""
    if log.high_watermark < known.offset:
        return False
    if log.first_offset >= known.offset or log.leader_epoch == known.leader_epoch:
        return True
    records = [entry.record for entry in log if entry.offset == known.offset - 1]
    return any(
        record is not None and checksum(record.key, record.value, record.headers) == known.checksum
        for record in records
    )
