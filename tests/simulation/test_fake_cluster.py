"""The guarantees of Kafka that the fake cluster gives."""

import pytest

from stream.core.columns import Outputs
from stream.core.evidence import CommittedOffset
from stream.core.records import OutputRecord
from stream.errors import Abortable, Fenced, InDoubt, Retriable
from stream.testing.cluster import FakeCluster
from stream.testing.log import PartitionLog, Record
from stream.testing.names import Names
from stream.testing.pipeline import FakePipeline
from stream.testing.process import FakeProcess
from stream.testing.sink import FakeSink

ALL = 100
FIVE = {0: CommittedOffset(5)}


def append(log: PartitionLog, *values: bytes, commit: bool | None) -> None:
    share = log.share()
    for value in values:
        log.append(Record(value[:1], value), share)
    if commit is not None:
        log.mark(share, commit=commit)


def values(log: PartitionLog, *, committed: bool = True) -> list[bytes | None]:
    return [entry.record.value for entry in log.read(0, ALL, committed=committed).entries if entry.record]


class Producer:
    def __init__(self, pipeline: FakePipeline, transactional_id: str = "id") -> None:
        self.sink = FakeSink(pipeline.cluster, pipeline.names, transactional_id)
        self.sink.reset_producer()

    def begin(self, value: bytes) -> None:
        self.sink.begin()
        self.sink.produce(Outputs.of([OutputRecord(Names().results, 0, None, value)]))


def results(pipeline: FakePipeline) -> list[bytes | None]:
    return [record.value for _, record in pipeline.cluster.committed(pipeline.names.results, 0)]


def test_markers_take_offsets() -> None:
    log = PartitionLog()
    append(log, b"a1", commit=True)
    append(log, b"b1", commit=True)
    assert [entry.offset for entry in log.read(0, ALL).entries] == [0, 2]
    assert log.read(0, ALL).position == log.high_watermark == 4


def test_reader_sees_no_aborted_records_and_nothing_after_the_start_of_an_open_transaction() -> None:
    log = PartitionLog()
    append(log, b"a1", commit=True)
    append(log, b"b1", commit=False)
    append(log, b"c1", commit=None)
    append(log, b"d1", commit=True)
    assert values(log) == [b"a1"]
    assert log.read(0, ALL).position == log.last_stable_offset == 4
    assert values(log, committed=False) == [b"a1", b"b1", b"c1", b"d1"]


def test_reader_stops_at_its_limit_and_continues_from_there() -> None:
    log = PartitionLog()
    append(log, b"a1", b"b1", b"c1", commit=True)
    first = log.read(0, 2)
    assert [entry.offset for entry in first.entries] == [0, 1]
    assert [entry.offset for entry in log.read(first.position, 2).entries] == [2]


def test_compaction_keeps_the_last_record_of_each_key_and_every_offset() -> None:
    log = PartitionLog()
    append(log, b"a1", b"b1", commit=True)
    append(log, b"a9", commit=False)
    append(log, b"a2", commit=True)
    before = log.high_watermark
    log.compact()
    assert [(entry.offset, entry.record is None) for entry in log] == [(1, False), (5, False), (6, True)]
    assert log.high_watermark == before
    log.compact(rolled=True)
    assert [entry.offset for entry in log] == [1, 5]
    assert log.read(0, ALL).position == before


def test_compaction_deletes_nothing_after_the_start_of_an_open_transaction() -> None:
    log = PartitionLog()
    append(log, b"a1", commit=True)
    append(log, b"a2", commit=None)
    append(log, b"a3", commit=True)
    log.compact(rolled=True)
    assert values(log, committed=False) == [b"a1", b"a2", b"a3"]


def test_new_producer_of_an_id_fences_the_old_one_and_aborts_its_transaction() -> None:
    pipeline = FakePipeline()
    old = Producer(pipeline)
    old.begin(b"old")
    new = Producer(pipeline)
    with pytest.raises(Fenced):
        old.sink.commit()
    new.begin(b"new")
    new.sink.commit()
    assert results(pipeline) == [b"new"]


def test_transaction_that_is_open_too_long_is_aborted() -> None:
    pipeline = FakePipeline()
    producer = Producer(pipeline)
    producer.begin(b"late")
    pipeline.cluster.clock.advance(pipeline.cluster.coordinator.timeout_s + 0.1)
    assert pipeline.cluster.coordinator.is_settled() is False
    pipeline.cluster.settle()
    assert pipeline.cluster.coordinator.is_settled()
    with pytest.raises(InDoubt):
        producer.sink.commit()
    assert results(pipeline) == []


def test_new_producer_waits_until_the_old_transaction_is_complete() -> None:
    pipeline = FakePipeline()
    producer = Producer(pipeline)
    pipeline.cluster.coordinator.delay_s = lambda: 2.0
    producer.begin(b"decided")
    producer.sink.commit()
    assert results(pipeline) == []
    with pytest.raises(Retriable):
        producer.sink.reset_producer()
    pipeline.cluster.clock.advance(2.0)
    producer.sink.reset_producer()
    assert results(pipeline) == [b"decided"]


def test_pending_offsets_are_not_stable() -> None:
    pipeline = FakePipeline(partitions=2)
    producer = Producer(pipeline)
    producer.sink.begin()
    producer.sink.send_offsets(FIVE, None)
    with pytest.raises(Retriable):
        pipeline.group.committed([0, 1])
    assert pipeline.group.committed([1]) == {1: None}
    producer.sink.commit()
    assert pipeline.group.committed([0]) == FIVE


def test_aborted_offsets_are_dropped() -> None:
    pipeline = FakePipeline()
    producer = Producer(pipeline)
    producer.sink.begin()
    producer.sink.send_offsets(FIVE, None)
    producer.sink.abort()
    assert pipeline.group.committed([0]) == {0: None}


@pytest.mark.parametrize("classic", [False, True])
def test_offsets_of_an_unknown_member_are_refused(*, classic: bool) -> None:
    group = FakePipeline(cluster=FakeCluster(classic=classic)).group
    membership = group.membership(group.join())
    group.check(membership, [0])
    group.leave(membership.member)
    with pytest.raises(Abortable):
        group.check(membership, [0])


def test_classic_protocol_accepts_only_offsets_of_the_current_epoch() -> None:
    group = FakePipeline(cluster=FakeCluster(classic=True)).group
    member = group.join()
    group.poll(member)
    before = group.membership(member)
    group.rebalance()
    with pytest.raises(Abortable):
        group.check(before, [0])
    group.check(group.membership(member), [0])


def test_older_epoch_is_accepted_for_partitions_that_did_not_move_since() -> None:
    """KIP-1251."""
    group = FakePipeline(partitions=2).group
    first, second = group.join(), group.join()
    group.poll(first)
    before = group.membership(first)
    group.rebalance()
    group.check(before, [0])
    with pytest.raises(Abortable):
        group.check(before, [0, 1])  # the other member owns 1
    group.leave(second)
    group.poll(first)
    with pytest.raises(Abortable):
        group.check(before, [0, 1])  # this member owns 1, but only since a later epoch
    group.check(group.membership(first), [0, 1])


def test_partition_has_no_new_owner_before_the_old_one_released_it() -> None:
    group = FakePipeline(partitions=2).group
    first = group.join()
    assert group.poll(first) == ([], [0, 1])
    second = group.join()
    assert group.poll(second) == ([], [])
    assert group.poll(first) == ([1], [])
    assert group.poll(second) == ([], [])
    group.release(first, [1])
    assert group.poll(second) == ([], [1])


def test_silent_member_loses_its_partitions_after_its_session() -> None:
    cluster = FakeCluster(session_timeout_s=5.0)
    pipeline = FakePipeline(cluster=cluster)
    worker = FakeProcess(cluster, pipeline.names, pipeline.fold)
    pipeline.drain(worker)
    worker.pause()
    cluster.clock.advance(4.0)
    cluster.settle()
    assert pipeline.group.owners() == {0: worker.source.member}
    cluster.clock.advance(2.0)
    cluster.settle()
    assert not pipeline.group.owners()
    worker.resume()
    worker.run_once()
    assert worker.observer.of("lost") == [[0]]


def test_member_that_does_not_poll_loses_its_partitions() -> None:
    cluster = FakeCluster(poll_interval_s_max=300.0)
    pipeline = FakePipeline(cluster=cluster)
    pipeline.drain(FakeProcess(cluster, pipeline.names, pipeline.fold))
    cluster.clock.advance(301.0)
    cluster.settle()
    assert not pipeline.group.owners()


def test_late_commit_does_not_commit_a_later_transaction() -> None:
    """KAFKA-17754: the broker must recognize it by its epoch."""
    pipeline = FakePipeline()
    producer = Producer(pipeline)
    producer.begin(b"first")
    producer.sink.faults.plan_late("sink.commit", 2.0)
    with pytest.raises(InDoubt):
        producer.sink.commit()
    producer.sink.reset_producer()
    producer.begin(b"second")
    pipeline.cluster.clock.advance(3.0)
    pipeline.cluster.settle()
    assert results(pipeline) == []
    producer.sink.commit()
    assert results(pipeline) == [b"second"]


def test_late_commit_is_valid_until_a_new_producer_takes_over() -> None:
    pipeline = FakePipeline()
    producer = Producer(pipeline)
    producer.begin(b"first")
    producer.sink.faults.plan_late("sink.commit", 2.0)
    with pytest.raises(InDoubt):
        producer.sink.commit()
    assert not pipeline.cluster.is_settled()
    pipeline.cluster.clock.advance(3.0)
    assert results(pipeline) == [b"first"]
    pipeline.cluster.settle()
    assert pipeline.cluster.is_settled()
