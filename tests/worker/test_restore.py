"""Restoring a store from every state of a changelog."""

import pytest

from stream.core.evidence import CommittedOffset
from stream.core.processed_offset import ProcessedOffset
from stream.errors import Blocked, Retriable
from stream.ports import Checkpoint
from stream.store.memory import MemoryDisk
from stream.testing.faults import Faults, Moment
from stream.testing.log import PartitionLog
from stream.testing.pipeline import FakePipeline
from stream.testing.process import FakeProcess, Tuning
from stream.testing.sink import FakeSink
from stream.worker.loop import BUSY_POLL_S, IDLE_POLL_S

TEXTS = 4  # number of texts in `counted`
TOTALS = {"act": 3, "dgo": 1, "eilnst": 1, "aet": 1}


def worker_of(
    pipeline: FakePipeline, disks: dict[int, MemoryDisk] | None = None, faults: Faults | None = None
) -> FakeProcess:
    return FakeProcess(pipeline.cluster, pipeline.names, pipeline.fold, disks=disks, faults=faults)


def changelog(pipeline: FakePipeline) -> PartitionLog:
    return pipeline.cluster.log(pipeline.names.counts, 0)


def totals(worker: FakeProcess) -> dict[str, int]:
    return {key.decode(): int(value) for key, value in worker.assignment.running()[0].items()}


def restored(pipeline: FakePipeline, disks: dict[int, MemoryDisk] | None = None) -> FakeProcess:
    worker = worker_of(pipeline, disks)
    pipeline.drain(worker)
    return worker


def test_empty_changelog_starts_at_the_first_input() -> None:
    worker = restored(FakePipeline())
    assert worker.observer.of("restored") == [(0, 0, 0)]
    assert not totals(worker)


def test_lost_store_is_restored_from_the_first_offset(counted: FakePipeline) -> None:
    worker = restored(counted)
    assert totals(worker) == TOTALS
    assert worker.observer.of("restored") == [(0, 6, TEXTS)]


def test_restored_worker_continues_to_count(counted: FakePipeline) -> None:
    counted.submit("act dog")
    assert totals(restored(counted)) == TOTALS | {"act": 4, "dgo": 2}
    assert len(counted.results()) == TEXTS + 1


def test_kept_store_is_restored_from_its_checkpoint() -> None:
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


def test_complete_store_is_not_restored() -> None:
    pipeline, disks = FakePipeline(), dict[int, MemoryDisk]()
    pipeline.submit("cat")
    restored(pipeline, disks).worker.close()
    assert restored(pipeline, disks).observer.of("restored") == [(0, 0, 1)]


@pytest.mark.parametrize("rolled", [False, True])
def test_compacted_changelog_is_restored_to_its_end(counted: FakePipeline, rolled: bool) -> None:  # noqa: FBT001
    changelog(counted).compact(rolled=rolled)
    worker = restored(counted)
    assert totals(worker) == TOTALS
    assert worker.observer.of("restored") == [(0, len(TOTALS), TEXTS)]


def test_changelog_of_only_markers_is_restored_to_its_end() -> None:
    pipeline = FakePipeline()
    sink = FakeSink(pipeline.cluster, pipeline.names, "another")
    sink.reset_producer()
    for _ in range(3):
        sink.begin()
        sink.produce_changelog(0, {b"act": b"9"}, ())
        sink.abort()
    changelog(pipeline).compact()
    assert [entry.record for entry in changelog(pipeline)] == [None]
    worker = restored(pipeline)
    assert worker.observer.of("restored") == [(0, 0, 0)]
    assert not totals(worker)


def test_changelog_without_its_last_marker_is_restored_to_its_end() -> None:
    pipeline = FakePipeline()
    sink = FakeSink(pipeline.cluster, pipeline.names, "another")
    sink.reset_producer()
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
    sink.reset_producer()
    sink.begin()
    sink.produce_changelog(0, {b"act": b"9"}, ())
    sink.abort()
    changelog(pipeline).trim(2)
    pipeline.submit("cat")
    restored(pipeline).worker.close()
    assert totals(restored(pipeline)) == {"act": 1}


def test_open_transaction_is_waited_for(counted: FakePipeline) -> None:
    sink = FakeSink(counted.cluster, counted.names, "another")
    sink.reset_producer()
    sink.begin()
    sink.produce_changelog(0, {b"act": b"9"}, ProcessedOffset(4, counted.fold.digest).headers())
    worker = worker_of(counted)
    for _ in range(5):
        worker.run_once()
    assert not worker.assignment.running()
    sink.abort()
    counted.drain(worker)
    assert totals(worker) == TOTALS


def test_transaction_of_a_dead_worker_is_waited_for_until_its_timeout(counted: FakePipeline) -> None:
    sink = FakeSink(counted.cluster, counted.names, "another")
    sink.reset_producer()
    sink.begin()
    sink.produce_changelog(0, {b"act": b"9"}, ())
    assert totals(restored(counted)) == TOTALS


def test_offsets_of_an_open_transaction_are_waited_for(counted: FakePipeline) -> None:
    sink = FakeSink(counted.cluster, counted.names, "another")
    sink.reset_producer()
    sink.begin()
    sink.send_offsets({0: CommittedOffset(1)}, None)
    worker = worker_of(counted)
    for _ in range(5):
        worker.run_once()
    assert not worker.assignment.running()
    assert isinstance(worker.observer.of("waiting")[0], Retriable)
    sink.abort()
    counted.drain(worker)
    assert totals(worker) == TOTALS


@pytest.mark.parametrize("later", ["offsets", "changelog"])
def test_markers_of_one_transaction_may_arrive_at_different_times(later: str) -> None:
    pipeline = FakePipeline()
    worker = worker_of(pipeline)
    pipeline.drain(worker)
    delays = iter([0.0, 0.0, 5.0] if later == "offsets" else [0.0, 5.0, 0.0])
    pipeline.cluster.coordinator.delay_s = lambda: next(delays)  # results, changelog, offsets
    pipeline.submit("cat")
    worker.run_once()
    assert worker.observer.names()[-1] == "committed"
    worker.worker.close()
    assert totals(restored(pipeline)) == {"act": 1}
    assert len(pipeline.results()) == 1


@pytest.mark.parametrize("beyond", [0, 100])
def test_checkpoint_outside_the_log_is_set_aside(counted: FakePipeline, beyond: int) -> None:
    changelog(counted).trim(1)
    stray = MemoryDisk({b"x": b"1"}, Checkpoint(beyond, 4))
    worker = worker_of(counted, {0: stray})
    counted.drain(worker)
    assert totals(worker).keys() == TOTALS.keys()
    assert [(partition, disk) for partition, disk, _ in worker.stores.aside] == [(0, stray)]
    assert len(worker.observer.of("set_aside")) == 1


def test_partition_that_the_count_topic_lacks_is_blocked_until_it_is_created() -> None:
    pipeline = FakePipeline(partitions=2)
    names, cluster = pipeline.names, pipeline.cluster
    cluster.delete(names.counts)
    cluster.create(names.counts, 1)
    pipeline.submit("cat", partition=0)
    pipeline.submit("dog", partition=1)
    worker = worker_of(pipeline)
    for _ in range(20):
        worker.run_once()
    assert pipeline.committed() == [1, 0]
    assert list(worker.assignment.running()) == [0]
    assert {what[0] for what in worker.observer.of("blocked") if isinstance(what, tuple)} == {1}
    cluster.create(names.counts, 2)
    pipeline.drain(worker)
    assert pipeline.totals(1) == {"dgo": 1}


def test_blocked_partition_is_checked_again_after_a_while() -> None:
    pipeline, faults = FakePipeline(), Faults()
    faults.plan("sink.check", Moment.BEFORE, Blocked("lacks it", "create it"))
    worker = worker_of(pipeline, faults=faults)
    started = pipeline.cluster.clock.monotonic()
    pipeline.drain(worker)
    assert worker.observer.of("blocked") == [(0, "lacks it", "create it")]
    assert pipeline.cluster.clock.monotonic() - started >= 5.0


def test_partition_without_totals_resumes_at_its_committed_offset() -> None:
    pipeline = FakePipeline()
    pipeline.submit(None)
    pipeline.submit("xyzzy")
    restored(pipeline).worker.close()
    assert restored(pipeline).observer.of("restored") == [(0, 1, 2)]


def test_partition_that_another_worker_owned_meanwhile_is_restored_again(counted: FakePipeline) -> None:
    """A worker that stalled during restore has stale offsets; it must not refuse to run."""
    faults = Faults()
    slow = worker_of(counted, faults=faults)
    other = FakeProcess(counted.cluster, counted.names, counted.fold, instance="worker-1")

    def stall() -> None:
        slow.pause()
        counted.cluster.clock.advance(60.0)
        counted.submit("cat")
        counted.drain(other)
        other.worker.close()
        slow.resume()

    faults.plan("source.committed", Moment.AFTER, stall)
    counted.drain(slow)
    assert totals(slow) == TOTALS | {"act": 4}
    assert "lost" in slow.observer.names()


def test_restored_worker_that_has_nothing_to_do_waits(counted: FakePipeline) -> None:
    """The next poll waits for input, although the last pass restored records."""
    worker = restored(counted)
    before = counted.cluster.clock.monotonic()
    worker.run_once()
    assert counted.cluster.clock.monotonic() - before >= IDLE_POLL_S


def test_restore_that_reads_does_not_wait_for_input(counted: FakePipeline) -> None:
    worker = FakeProcess(
        counted.cluster, counted.names, counted.fold, disks={}, tuning=Tuning(restore_records_max=1)
    )
    while not worker.restorer.received_records:
        worker.run_once()
    before = counted.cluster.clock.monotonic()
    worker.run_once()
    assert counted.cluster.clock.monotonic() - before < BUSY_POLL_S


def test_store_skips_no_total_that_takes_the_offset_of_an_aborted_one(counted: FakePipeline) -> None:
    """Truncating only aborted records loses nothing, but new records take offsets that the store has read."""
    sink, disks = FakeSink(counted.cluster, counted.names, "another"), dict[int, MemoryDisk]()
    sink.reset_producer()
    sink.begin()
    sink.produce_changelog(0, {b"act": b"9", b"dgo": b"9"}, ())
    end = changelog(counted).high_watermark - 2
    sink.abort()
    restored(counted, disks).worker.close()
    changelog(counted).truncate(end)
    counted.submit("act dog tea stop")
    restored(counted).worker.close()
    restored(counted, disks)
    assert disks[0].totals == {b"act": b"4", b"aet": b"2", b"dgo": b"2", b"eilnst": b"1", b"opst": b"1"}
