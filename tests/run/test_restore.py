"""Restore: changelog -> store, from every state a changelog can be in."""

import pytest

from stream.core.bookmark import Bookmark
from stream.errors import Blocked, Refused, Retriable
from stream.ports import Checkpoint, CommittedOffset
from stream.store.memory import MemoryDisk
from stream.testing.cluster import FakeCluster
from stream.testing.faults import Faults, Moment
from stream.testing.log import PartitionLog
from stream.testing.pipeline import FakePipeline
from stream.testing.process import FakeProcess
from stream.testing.sink import FakeSink

TEXTS = ("cat dog", "cat", "listen", "cat tea")
TOTALS = {"act": 3, "dgo": 1, "eilnst": 1, "aet": 1}


def worker_of(
    pipeline: FakePipeline, disks: dict[int, MemoryDisk] | None = None, faults: Faults | None = None
) -> FakeProcess:
    return FakeProcess(pipeline.cluster, pipeline.names, pipeline.index, disks=disks, faults=faults)


def counted() -> FakePipeline:
    """A pipeline that has counted `TEXTS`, a transaction each; its worker is gone."""
    pipeline = FakePipeline()
    worker = worker_of(pipeline)
    for text in TEXTS:
        pipeline.submit(text)
        pipeline.drain(worker)
    worker.worker.close()
    return pipeline


def changelog(pipeline: FakePipeline) -> PartitionLog:
    return pipeline.cluster.log(pipeline.names.counts, 0)


def totals(worker: FakeProcess) -> dict[str, int]:
    return {key.decode(): int(value) for key, value in worker.worker.assignment.running()[0].items()}


def restored(pipeline: FakePipeline, disks: dict[int, MemoryDisk] | None = None) -> FakeProcess:
    worker = worker_of(pipeline, disks)
    pipeline.drain(worker)
    return worker


def refused(pipeline: FakePipeline, match: str) -> Refused:
    with pytest.raises(Refused, match=match) as caught:
        pipeline.drain(worker_of(pipeline))
    assert caught.value.mend
    return caught.value


def test_empty_changelog_starts_at_the_first_input() -> None:
    worker = restored(FakePipeline())
    assert worker.observer.of("restored") == [(0, 0, 0)]
    assert not totals(worker)


def test_lost_disk_is_restored_whole() -> None:
    worker = restored(counted())
    assert totals(worker) == TOTALS
    assert worker.observer.of("restored") == [(0, 6, len(TEXTS))]


def test_restored_worker_goes_on_counting() -> None:
    pipeline = counted()
    pipeline.submit("act dog")
    assert totals(restored(pipeline)) == TOTALS | {"act": 4, "dgo": 2}
    assert len(pipeline.results()) == len(TEXTS) + 1


def test_kept_disk_has_only_the_tail_restored() -> None:
    pipeline = FakePipeline()
    disks: dict[int, MemoryDisk] = {}
    pipeline.submit("cat dog")
    first = restored(pipeline, disks)
    first.worker.close()
    other = worker_of(pipeline)
    pipeline.submit("tea")
    pipeline.drain(other)
    other.worker.close()
    again = restored(pipeline, disks)
    assert again.observer.of("restored") == [(0, 1, 2)]
    assert totals(again) == {"act": 1, "dgo": 1, "aet": 1}


def test_whole_store_has_nothing_restored() -> None:
    pipeline, disks = FakePipeline(), dict[int, MemoryDisk]()
    pipeline.submit("cat")
    restored(pipeline, disks).worker.close()
    assert restored(pipeline, disks).observer.of("restored") == [(0, 0, 1)]


@pytest.mark.parametrize("rolled", [False, True])
def test_compacted_changelog_is_restored_to_its_end(rolled: bool) -> None:  # noqa: FBT001
    pipeline = counted()
    changelog(pipeline).compact(rolled=rolled)
    worker = restored(pipeline)
    assert totals(worker) == TOTALS
    assert worker.observer.of("restored") == [(0, len(TOTALS), len(TEXTS))]


def test_changelog_of_markers_alone_is_restored_to_its_end() -> None:
    pipeline = FakePipeline()
    sink = FakeSink(pipeline.cluster, pipeline.names, "another")
    sink.renew()
    for _ in range(3):
        sink.begin()
        sink.produce_changelog(0, {b"act": b"9"}, ())
        sink.abort()
    changelog(pipeline).compact()
    assert [entry.record for entry in changelog(pipeline)] == [None]
    worker = restored(pipeline)
    assert worker.observer.of("restored") == [(0, 0, 0)]
    assert not totals(worker)


def test_changelog_whose_last_marker_is_gone_is_restored_to_its_end() -> None:
    pipeline = FakePipeline()
    sink = FakeSink(pipeline.cluster, pipeline.names, "another")
    sink.renew()
    sink.begin()
    sink.produce_changelog(0, {b"act": b"9"}, ())
    sink.abort()
    changelog(pipeline).compact(rolled=True)
    assert not list(changelog(pipeline))
    assert changelog(pipeline).high_watermark == 2
    assert not totals(restored(pipeline))


def test_changelog_that_begins_later_than_0_is_restored() -> None:
    pipeline = FakePipeline()
    sink = FakeSink(pipeline.cluster, pipeline.names, "another")
    sink.renew()
    sink.begin()
    sink.produce_changelog(0, {b"act": b"9"}, ())
    sink.abort()
    changelog(pipeline).trim(2)
    pipeline.submit("cat")
    restored(pipeline).worker.close()
    assert totals(restored(pipeline)) == {"act": 1}


def test_open_transaction_is_waited_for() -> None:
    pipeline = counted()
    sink = FakeSink(pipeline.cluster, pipeline.names, "another")
    sink.renew()
    sink.begin()
    sink.produce_changelog(0, {b"act": b"9"}, Bookmark(4, pipeline.index.digest).headers())
    worker = worker_of(pipeline)
    for _ in range(5):
        worker.turn()
    assert not worker.worker.assignment.running()
    sink.abort()
    pipeline.drain(worker)
    assert totals(worker) == TOTALS


def test_transaction_of_a_dead_worker_is_waited_for_until_its_timeout() -> None:
    pipeline = counted()
    sink = FakeSink(pipeline.cluster, pipeline.names, "another")
    sink.renew()
    sink.begin()
    sink.produce_changelog(0, {b"act": b"9"}, ())
    assert totals(restored(pipeline)) == TOTALS


def test_transaction_that_hangs_is_refused() -> None:
    pipeline = FakePipeline(cluster=FakeCluster(transaction_timeout_s=1e9))
    sink = FakeSink(pipeline.cluster, pipeline.names, "another")
    sink.renew()
    sink.begin()
    sink.produce_changelog(0, {b"act": b"9"}, ())
    assert "find-hanging" in refused(pipeline, "hangs open").mend


def test_offsets_of_an_open_transaction_are_waited_for() -> None:
    pipeline = counted()
    sink = FakeSink(pipeline.cluster, pipeline.names, "another")
    sink.renew()
    sink.begin()
    sink.send_offsets({0: CommittedOffset(1, counted=True)}, None)
    worker = worker_of(pipeline)
    for _ in range(5):
        worker.turn()
    assert not worker.worker.assignment.running()
    assert isinstance(worker.observer.of("waiting")[0], Retriable)
    sink.abort()
    pipeline.drain(worker)
    assert totals(worker) == TOTALS


@pytest.mark.parametrize("later", ["offsets", "changelog"])
def test_markers_of_one_transaction_may_come_apart(later: str) -> None:
    pipeline = FakePipeline()
    worker = worker_of(pipeline)
    pipeline.drain(worker)
    delays = iter([0.0, 0.0, 5.0] if later == "offsets" else [0.0, 5.0, 0.0])
    pipeline.cluster.coordinator.delay_s = lambda: next(delays)  # results, changelog, offsets
    pipeline.submit("cat")
    worker.turn()
    assert worker.observer.names()[-1] == "committed"
    worker.worker.close()
    assert totals(restored(pipeline)) == {"act": 1}
    assert len(pipeline.results()) == 1


@pytest.mark.parametrize("beyond", [0, 100])
def test_checkpoint_outside_the_log_is_set_aside(beyond: int) -> None:
    pipeline = counted()
    changelog(pipeline).trim(1)
    stray = MemoryDisk({b"x": b"1"}, Checkpoint(beyond, 4))
    worker = worker_of(pipeline, {0: stray})
    pipeline.drain(worker)
    assert totals(worker).keys() == TOTALS.keys()
    assert [(partition, disk) for partition, disk, _ in worker.stores.aside] == [(0, stray)]
    assert len(worker.observer.of("set_aside")) == 1


def test_partition_that_the_count_topic_lacks_is_blocked_until_it_is_mended() -> None:
    pipeline = FakePipeline(partitions=2)
    names, cluster = pipeline.names, pipeline.cluster
    cluster.delete(names.counts)
    cluster.create(names.counts, 1)
    pipeline.submit("cat", partition=0)
    pipeline.submit("dog", partition=1)
    worker = worker_of(pipeline)
    for _ in range(20):
        worker.turn()
    assert pipeline.committed() == [1, 0]
    assert list(worker.worker.assignment.running()) == [0]
    assert {what[0] for what in worker.observer.of("blocked") if isinstance(what, tuple)} == {1}
    cluster.create(names.counts, 2)
    pipeline.drain(worker)
    assert pipeline.totals(1) == {"dgo": 1}


def test_blocked_partition_is_looked_at_again_now_and_then() -> None:
    pipeline, faults = FakePipeline(), Faults()
    faults.plan("sink.check", Moment.BEFORE, Blocked("lacks it", "create it"))
    worker = worker_of(pipeline, faults=faults)
    started = pipeline.cluster.clock.monotonic()
    pipeline.drain(worker)
    assert worker.observer.of("blocked") == [(0, "lacks it", "create it")]
    assert pipeline.cluster.clock.monotonic() - started >= 5.0


def test_totals_without_a_committed_offset_are_refused() -> None:
    pipeline = counted()
    pipeline.group.forget_offset(0)
    refused(pipeline, "no committed offset")


def test_committed_offset_below_the_totals_is_refused() -> None:
    pipeline = counted()
    pipeline.group.commit({0: CommittedOffset(2, counted=True)})
    refused(pipeline, "is below")


def test_totals_of_another_dictionary_are_refused() -> None:
    pipeline = counted()
    sink = FakeSink(pipeline.cluster, pipeline.names, "another")
    sink.renew()
    sink.begin()
    sink.produce_changelog(0, {b"act": b"9"}, Bookmark(4, "another digest").headers())
    sink.commit()
    assert "STREAM_DICTIONARY" in refused(pipeline, "another dictionary").mend


def test_totals_that_are_gone_are_refused() -> None:
    pipeline = counted()
    pipeline.cluster.delete(pipeline.names.counts)
    pipeline.cluster.create(pipeline.names.counts, 1)
    refused(pipeline, "the count topic has none")


def test_committed_offset_without_totals_is_gone_on_from() -> None:
    pipeline = FakePipeline()
    pipeline.submit(None)
    pipeline.submit("xyzzy")
    restored(pipeline).worker.close()
    assert restored(pipeline).observer.of("restored") == [(0, 0, 2)]


def test_committed_offset_below_the_input_says_what_is_lost() -> None:
    pipeline = counted()
    for _ in range(3):
        pipeline.submit("cat")
    pipeline.cluster.log(pipeline.names.input, 0).trim(6)
    assert "reset partition 0" in refused(pipeline, "2 offsets were never counted").mend


def test_committed_offset_beyond_the_input_is_refused() -> None:
    pipeline = counted()
    pipeline.group.commit({0: CommittedOffset(9, counted=True)})
    refused(pipeline, "beyond the end")


@pytest.mark.parametrize("value", [b"not a total", b""])
def test_changelog_that_no_worker_wrote_is_refused(value: bytes) -> None:
    pipeline = counted()
    pipeline.cluster.produce(pipeline.names.counts, 0, value, b"act")
    refused(pipeline, "no worker wrote")


def test_totals_without_a_bookmark_are_refused() -> None:
    pipeline = FakePipeline()
    pipeline.cluster.produce(pipeline.names.counts, 0, b"7", b"act")
    refused(pipeline, "no worker of this kind")


def test_partition_that_another_worker_had_meanwhile_is_restored_anew() -> None:
    """A worker that stood still within restore has facts of two times; that is no reason to refuse."""
    pipeline, faults = counted(), Faults()
    slow, other = worker_of(pipeline, faults=faults), worker_of(pipeline)
    other.instance = "worker-1"

    def stand_still() -> None:
        slow.pause()
        pipeline.cluster.clock.advance(60.0)
        pipeline.submit("cat")
        pipeline.drain(other)
        other.worker.close()
        slow.resume()

    faults.plan("source.committed", Moment.AFTER, stand_still)
    pipeline.drain(slow)
    assert totals(slow) == TOTALS | {"act": 4}
    assert "lost" in slow.observer.names()
