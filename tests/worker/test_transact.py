"""The transaction's ways out, on the fake cluster."""

from dataclasses import dataclass, replace

import pytest

from stream.core.processed_offset import read_processed_offset
from stream.core.records import OutputRecord
from stream.errors import Abortable, Fatal, Fenced, InDoubt
from stream.ports import Checkpoint, CommittedOffset
from stream.store.memory import MemoryDisk
from stream.testing.faults import Crashed, DiskFull, Faults, Moment
from stream.testing.pipeline import FakePipeline
from stream.testing.sink import FakeSink
from stream.testing.stores import FakeStore
from stream.worker.transaction import Staged, Work, transact

STEPS = ("sink.produce", "sink.produce_changelog", "sink.send_offsets", "sink.commit")
TOTALS = {b"act": b"2", b"dgo": b"1"}


@dataclass
class Bench:
    """A producer and one store, and the work they are given: two outcomes and two totals of partition 0."""

    pipeline: FakePipeline
    faults: Faults
    sink: FakeSink
    disk: MemoryDisk
    store: FakeStore
    work: Work

    def transact(self) -> None:
        transact(self.work, self.sink, {0: self.store})

    def visible(self) -> list[bytes | None]:
        names = self.pipeline.names
        topics = (names.results, names.dead_letters, names.counts)
        return [record.value for topic in topics for _, record in self.pipeline.cluster.committed(topic, 0)]


EVERYTHING = [b"result", b"poison", *TOTALS.values()]


@pytest.fixture
def bench() -> Bench:
    pipeline, faults = FakePipeline(), Faults()
    names, cluster = pipeline.names, pipeline.cluster
    sink = FakeSink(cluster, names, "id", faults)
    sink.reset_producer()
    disk = MemoryDisk()
    work = Work(
        steps=[
            [OutputRecord(names.results, 0, b"k", b"result")],
            [OutputRecord(names.dead_letters, 0, b"k", b"poison")],
        ],
        stage=lambda: Staged({0: TOTALS}, {0: CommittedOffset(5, counted=True)}),
        group=pipeline.group.membership(pipeline.group.join()),
        dictionary="digest",
    )
    return Bench(pipeline, faults, sink, disk, FakeStore(disk, faults), work)


def test_commit_shows_everything_at_once_and_is_in_the_store(bench: Bench) -> None:
    bench.transact()
    assert bench.visible() == EVERYTHING
    assert bench.pipeline.group.committed([0]) == {0: CommittedOffset(5, counted=True)}
    assert bench.disk.totals == TOTALS
    assert bench.disk.checkpoint == Checkpoint(changelog_offset=2, input_offset=5)


def test_only_the_last_total_of_a_partition_says_what_they_stand_for(bench: Bench) -> None:
    bench.transact()
    counts = bench.pipeline.cluster.committed(bench.pipeline.names.counts, 0)
    bookmarks = [read_processed_offset(record.headers) for _, record in counts]
    assert bookmarks[0] is None
    assert bookmarks[1] is not None
    assert (bookmarks[1].input_offset, bookmarks[1].dictionary) == (5, "digest")


@pytest.mark.parametrize("step", STEPS)
def test_abort_shows_nothing_and_leaves_the_store_alone(bench: Bench, step: str) -> None:
    bench.faults.plan(step, Moment.BEFORE, Abortable("injected"))
    with pytest.raises(Abortable):
        bench.transact()
    assert not bench.visible()
    assert bench.pipeline.cluster.coordinator.is_settled()
    assert bench.pipeline.committed() == [0]
    assert bench.disk == MemoryDisk(in_use=True)


def test_what_may_not_be_committed_is_aborted_before_the_worker_stops(bench: Bench) -> None:
    def refuse() -> Staged:
        raise Fatal("too many rejections in a row")

    with pytest.raises(Fatal, match="in a row"):
        transact(replace(bench.work, stage=refuse), bench.sink, {0: bench.store})
    assert not bench.visible()
    assert bench.pipeline.cluster.coordinator.is_settled(), "or readers would wait for it"
    assert bench.disk == MemoryDisk(in_use=True)


def test_same_work_commits_after_an_abort(bench: Bench) -> None:
    bench.faults.plan("sink.send_offsets", Moment.AFTER, Abortable("injected"))
    with pytest.raises(Abortable):
        bench.transact()
    bench.transact()
    assert bench.visible() == EVERYTHING
    assert bench.disk.totals == TOTALS


def test_stale_membership_aborts(bench: Bench) -> None:
    bench.pipeline.group.leave("member-1")
    with pytest.raises(Abortable, match="stale"):
        bench.transact()
    assert bench.pipeline.committed() == [0]
    assert not bench.visible()


def test_failed_abort_is_in_doubt(bench: Bench) -> None:
    bench.faults.plan("sink.produce", Moment.AFTER, Abortable("injected"))
    bench.faults.plan("sink.abort", Moment.BEFORE, InDoubt("injected"))
    with pytest.raises(InDoubt):
        bench.transact()
    assert not bench.visible()
    assert bench.disk == MemoryDisk(in_use=True)


@pytest.mark.parametrize("step", ["sink.begin", *STEPS])
@pytest.mark.parametrize("moment", Moment)
def test_doubt_is_not_aborted_and_leaves_the_store_alone(bench: Bench, step: str, moment: Moment) -> None:
    bench.faults.plan(step, moment, InDoubt("injected"))
    with pytest.raises(InDoubt):
        bench.transact()
    was_committed = (step, moment) == ("sink.commit", Moment.AFTER)
    assert bench.visible() == (EVERYTHING if was_committed else [])
    assert bench.disk == MemoryDisk(in_use=True)


@pytest.mark.parametrize("step", ["sink.begin", *STEPS, "store.write"])
@pytest.mark.parametrize("moment", Moment)
def test_crash_shows_all_or_nothing(bench: Bench, step: str, moment: Moment) -> None:
    bench.faults.plan(step, moment, Crashed(step))
    with pytest.raises(Crashed):
        bench.transact()
    bench.pipeline.cluster.clock.advance(60.0)  # an open transaction ends
    was_committed = step == "store.write" or (step, moment) == ("sink.commit", Moment.AFTER)
    assert bench.visible() == (EVERYTHING if was_committed else [])
    assert bench.pipeline.committed() == [5 if was_committed else 0]


def test_transaction_that_outlives_its_timeout_is_in_doubt(bench: Bench) -> None:
    clock = bench.pipeline.cluster.clock
    bench.faults.plan("sink.commit", Moment.BEFORE, lambda: clock.advance(11.0))
    with pytest.raises(InDoubt):
        bench.transact()
    assert not bench.visible()
    assert bench.disk == MemoryDisk(in_use=True)


def test_producer_whose_id_was_taken_is_fenced(bench: Bench) -> None:
    other = FakeSink(bench.pipeline.cluster, bench.pipeline.names, "id")
    bench.faults.plan("sink.commit", Moment.BEFORE, other.reset_producer)
    with pytest.raises(Fenced):
        bench.transact()
    assert not bench.visible()


def test_full_disk_stops_after_the_commit(bench: Bench) -> None:
    bench.faults.plan("store.write", Moment.BEFORE, DiskFull("injected"))
    with pytest.raises(Fatal):
        bench.transact()
    assert bench.visible() == EVERYTHING
    assert bench.pipeline.committed() == [5]
    assert bench.disk == MemoryDisk(in_use=True)
