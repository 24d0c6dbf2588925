"""Every way in which a transaction can end, on the fake cluster."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from stream.core.columns import Outputs
from stream.core.fold import Changes
from stream.core.processed_offset import ProcessedOffset, read_processed_offset
from stream.core.records import OutputRecord
from stream.errors import Abortable, Fatal, Fenced, InDoubt, TooManyRejections
from stream.ports import Batch, Checkpoint
from stream.store.memory import MemoryDisk
from stream.testing.faults import Crashed, DiskFull, Faults, Moment
from stream.testing.pipeline import FakePipeline
from stream.testing.sink import FakeSink
from stream.testing.stores import FakeStore
from stream.worker.assignment import Assignment, PartitionState, StateUpdates
from stream.worker.processing import Processor
from stream.worker.transaction import transact

STEPS = ("sink.produce", "sink.produce_changelog", "sink.flush", "sink.send_offsets", "sink.commit")
TOTALS = {b"act": b"2", b"dgo": b"1"}


class FixedTotals:
    """Changed totals with fixed values."""

    def __init__(self) -> None:
        self.is_applied = False

    @property
    def changes(self) -> Changes:
        return TOTALS

    def apply(self) -> None:
        self.is_applied = True


class FixedProcessor(Processor):
    """Two outcomes and two totals of partition 0, in two chunks."""

    def __init__(self, pipeline: FakePipeline) -> None:
        self.totals = FixedTotals()
        self.failing: Exception | None = None  # raised while the second chunk is taken
        self._names = pipeline.names

    @property
    def digest(self) -> str:
        return "digest"

    def process(self, batch: Batch) -> Iterator[Outputs]:
        yield Outputs.of([OutputRecord(self._names.results, 0, b"k", b"result")])
        if self.failing is not None:
            raise self.failing
        yield Outputs.of((), [OutputRecord(self._names.dead_letters, 0, b"k", b"poison")])

    def state_updates(self) -> StateUpdates:
        return StateUpdates({0: 5}, {0: self.totals}, {0: 1})


@dataclass
class Bench:
    """A producer, one running partition with its store, and a processor."""

    pipeline: FakePipeline
    faults: Faults
    sink: FakeSink
    disk: MemoryDisk
    assignment: Assignment
    processor: FixedProcessor
    group_metadata: object

    def transact(self) -> StateUpdates:
        batch = Batch(group_metadata=self.group_metadata)
        return transact(batch, self.processor, self.sink, self.assignment)

    def visible(self) -> list[bytes | None]:
        names = self.pipeline.names
        topics = (names.results, names.dead_letters, names.counts)
        return [record.value for topic in topics for _, record in self.pipeline.cluster.committed(topic, 0)]

    @property
    def is_state_untouched(self) -> bool:
        partition = self.assignment[0]
        in_memory = self.processor.totals.is_applied or partition.rejected_in_a_row
        return self.disk == MemoryDisk(in_use=True) and not in_memory


EVERYTHING = [b"result", b"poison", *TOTALS.values()]


@pytest.fixture
def bench() -> Bench:
    pipeline, faults, disk = FakePipeline(), Faults(), MemoryDisk()
    sink = FakeSink(pipeline.cluster, pipeline.names, "id", faults)
    sink.reset_producer()
    assignment = Assignment()
    assignment.add(0)
    assignment[0].store = FakeStore(disk, faults)
    assignment[0].move(PartitionState.RUNNING)
    group_metadata = pipeline.group.membership(pipeline.group.join())
    return Bench(pipeline, faults, sink, disk, assignment, FixedProcessor(pipeline), group_metadata)


def test_commit_makes_everything_visible_at_once_and_updates_the_state(bench: Bench) -> None:
    bench.transact()
    assert bench.visible() == EVERYTHING
    assert bench.pipeline.committed() == [5]
    assert bench.disk.totals == TOTALS
    assert bench.disk.checkpoint == Checkpoint(changelog_offset=2, input_offset=5)
    assert bench.processor.totals.is_applied
    assert bench.assignment[0].rejected_in_a_row == 1


def test_only_the_last_total_of_a_partition_has_the_processed_offset(bench: Bench) -> None:
    bench.transact()
    counts = bench.pipeline.cluster.committed(bench.pipeline.names.counts, 0)
    processed = [read_processed_offset(record.headers) for _, record in counts]
    assert processed == [None, ProcessedOffset(5, "digest", bench.sink.topic_ids["input"])]


@pytest.mark.parametrize("step", STEPS)
def test_abort_makes_nothing_visible_and_leaves_the_state_untouched(bench: Bench, step: str) -> None:
    bench.faults.plan(step, Moment.BEFORE, Abortable("injected"))
    with pytest.raises(Abortable):
        bench.transact()
    assert not bench.visible()
    assert bench.pipeline.cluster.coordinator.is_settled()
    assert bench.pipeline.committed() == [0]
    assert bench.is_state_untouched


def test_batch_that_must_not_be_committed_is_aborted_before_the_worker_stops(bench: Bench) -> None:
    bench.processor.failing = TooManyRejections("too many rejections in a row", "a hint")
    with pytest.raises(Fatal, match="in a row"):
        bench.transact()
    assert not bench.visible()
    assert bench.pipeline.cluster.coordinator.is_settled(), "readers would wait for an open transaction"
    assert bench.is_state_untouched


def test_same_batch_commits_after_an_abort(bench: Bench) -> None:
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
    assert bench.is_state_untouched


@pytest.mark.parametrize("step", ["sink.begin", *STEPS])
@pytest.mark.parametrize("moment", Moment)
def test_transaction_in_doubt_is_not_aborted_and_leaves_the_state_untouched(
    bench: Bench, step: str, moment: Moment
) -> None:
    bench.faults.plan(step, moment, InDoubt("injected"))
    with pytest.raises(InDoubt):
        bench.transact()
    was_committed = (step, moment) == ("sink.commit", Moment.AFTER)
    assert bench.visible() == (EVERYTHING if was_committed else [])
    assert bench.is_state_untouched


@pytest.mark.parametrize("step", ["sink.begin", *STEPS, "store.write"])
@pytest.mark.parametrize("moment", Moment)
def test_crash_makes_all_or_nothing_visible(bench: Bench, step: str, moment: Moment) -> None:
    bench.faults.plan(step, moment, Crashed(step))
    with pytest.raises(Crashed):
        bench.transact()
    bench.pipeline.cluster.clock.advance(60.0)  # an open transaction times out
    was_committed = step == "store.write" or (step, moment) == ("sink.commit", Moment.AFTER)
    assert bench.visible() == (EVERYTHING if was_committed else [])
    assert bench.pipeline.committed() == [5 if was_committed else 0]


def test_transaction_that_outlives_its_timeout_is_in_doubt(bench: Bench) -> None:
    clock = bench.pipeline.cluster.clock
    bench.faults.plan("sink.commit", Moment.BEFORE, lambda: clock.advance(11.0))
    with pytest.raises(InDoubt):
        bench.transact()
    assert not bench.visible()
    assert bench.is_state_untouched


def test_producer_is_fenced_by_another_one_with_its_id(bench: Bench) -> None:
    other = FakeSink(bench.pipeline.cluster, bench.pipeline.names, "id")
    bench.faults.plan("sink.commit", Moment.BEFORE, other.reset_producer)
    with pytest.raises(Fenced):
        bench.transact()
    assert not bench.visible()


def test_full_disk_stops_the_worker_after_the_commit(bench: Bench) -> None:
    bench.faults.plan("store.write", Moment.BEFORE, DiskFull("injected"))
    with pytest.raises(Fatal):
        bench.transact()
    assert bench.visible() == EVERYTHING
    assert bench.pipeline.committed() == [5]
    assert bench.is_state_untouched
