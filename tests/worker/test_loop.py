"""The passes of the loop, and the start and stop of a worker."""

import pytest

from stream.core.columns import Outputs
from stream.core.evidence import COUNTED, CommittedOffset
from stream.core.processed_offset import ProcessedOffset, read_processed_offset
from stream.core.records import InputRecord
from stream.errors import Abortable, Fatal, Fenced, InDoubt, LogsChanged, Retriable
from stream.events import Committed
from stream.store.memory import MemoryDisk
from stream.testing.cluster import FakeCluster
from stream.testing.faults import DiskFull, Faults, Moment
from stream.testing.log import Record
from stream.testing.pipeline import FakePipeline
from stream.testing.process import FakeProcess, Tuning
from stream.testing.sink import FakeSink
from stream.worker.assignment import PartitionState
from stream.worker.loop import LOST_AFTER_S
from stream.worker.waiting import FENCES_APART_S, REFUSALS_APART_S, REFUSED_S_MAX


class Bench:
    """A pipeline, and a worker that a test can slow down or make fail."""

    def __init__(self, partitions: int = 1, tuning: Tuning | None = None, *, classic: bool = False) -> None:
        self.pipeline = FakePipeline(partitions, cluster=FakeCluster(classic=classic))
        self.faults = Faults()
        self.disks: dict[int, MemoryDisk] = {}
        self.slow_s = 0.0  # processing time of a record, in seconds
        self.process = FakeProcess(
            self.pipeline.cluster,
            self.pipeline.names,
            self.pipeline.fold,
            faults=self.faults,
            disks=self.disks,
            tuning=tuning,
            disturb=self._disturb,
        )

    def _disturb(self, _record: InputRecord) -> None:
        self.pipeline.cluster.clock.advance(self.slow_s)

    def drain(self) -> None:
        self.pipeline.drain(self.process)

    def run(self, passes: int) -> None:
        remaining = iter(range(passes))
        self.process.worker.run(lambda: next(remaining, None) is None)

    def stored(self, partition: int = 0) -> dict[bytes, bytes]:
        return self.disks[partition].totals


def test_run_works_until_it_is_asked_to_stop() -> None:
    bench = Bench()
    bench.pipeline.submit("cat")
    bench.run(passes=10)
    assert bench.pipeline.totals() == {"act": 1}
    assert bench.process.observer.names()[0] == "started"


def test_run_ends_without_partitions_open_stores_or_an_open_transaction() -> None:
    bench = Bench()
    bench.run(passes=10)
    assert not bench.pipeline.group.owners()
    assert not bench.disks[0].in_use
    assert not bench.process.sink.is_ready
    assert bench.pipeline.cluster.coordinator.is_settled()


def test_run_gets_its_producer_before_it_joins_the_group() -> None:
    bench = Bench()
    bench.faults.plan("sink.reset_producer", Moment.BEFORE, Retriable("unavailable"))
    joined = list[str | None]()
    bench.faults.plan("sink.reset_producer", Moment.AFTER, lambda: joined.append(bench.process.source.member))
    bench.run(passes=5)
    assert joined == [None]
    assert bench.process.observer.names()[:3] == ["waiting", "resumed", "started"]


def test_run_that_is_stopped_at_once_never_joins_the_group() -> None:
    bench = Bench()
    bench.run(passes=0)
    assert "started" not in bench.process.observer.names()
    assert not bench.pipeline.group.epoch


def test_fatal_error_leaves_the_group_and_closes_the_stores() -> None:
    bench = Bench()
    bench.pipeline.submit("cat")
    bench.faults.plan("store.write", Moment.BEFORE, DiskFull("injected"))
    with pytest.raises(Fatal):
        bench.run(passes=20)
    assert not bench.pipeline.group.owners()
    assert not bench.disks[0].in_use


def test_partitions_are_counted_separately() -> None:
    bench = Bench(partitions=2)
    bench.pipeline.submit("cat dog", partition=0)
    bench.pipeline.submit("cat", partition=1)
    bench.drain()
    assert bench.pipeline.totals(0) == {"act": 1, "dgo": 1}
    assert bench.pipeline.totals(1) == {"act": 1}
    assert bench.stored(0) == {b"act": b"1", b"dgo": b"1"}
    assert [result["source"]["partition"] for result in bench.pipeline.results(1)] == [1]


def test_observer_gets_the_figures_of_a_transaction() -> None:
    bench = Bench()
    bench.drain()
    for value in ("cat dog xyzzy", None, "cat"):
        bench.pipeline.submit(value)
    bench.process.run_once()
    (what,) = bench.process.observer.of("committed")
    assert isinstance(what, Committed)
    assert (what.records, what.items, what.results, what.changes) == (3, 4, 2, 2)
    assert what.rejected == {"null-value": 1}
    assert what.offsets == {0: 3}


def test_every_commit_has_evidence_and_a_changelog_record_that_agree() -> None:
    bench = Bench()
    names, cluster = bench.pipeline.names, bench.pipeline.cluster
    for offset, value in enumerate((None, "cat", None), 1):
        bench.pipeline.submit(value)
        bench.drain()
        committed = bench.pipeline.group.committed([0])[0]
        assert committed is not None
        evidence = committed.evidence
        assert evidence is not None
        last_offset, last = cluster.committed(names.counts, 0)[-1]
        assert read_processed_offset(last.headers) == ProcessedOffset(
            offset, bench.pipeline.fold.digest, cluster.topic_id(names.input)
        )
        assert evidence.offset == committed.offset == offset
        assert evidence.ends["count"][:2] == (0, last_offset + 1)
        outcomes = cluster.committed(names.results, 0), cluster.committed(names.dead_letters, 0)
        for role, outcome in zip(("result", "dead-letter"), outcomes, strict=True):
            end = evidence.ends.get(role)
            assert (end and end[:2]) == ((0, outcome[-1][0] + 1) if outcome else None)


@pytest.mark.parametrize("call", ["sink.begin", "sink.produce", "sink.send_offsets", "sink.commit"])
def test_aborted_batch_is_processed_again(call: str) -> None:
    bench = Bench()
    bench.drain()
    bench.faults.plan(call, Moment.BEFORE, Abortable("injected"))
    bench.pipeline.submit("cat")
    bench.drain()
    assert "aborted" in bench.process.observer.names()
    assert bench.stored() == {b"act": b"1"}
    assert len(bench.pipeline.results()) == 1


@pytest.mark.parametrize("moment", Moment)
def test_batch_in_doubt_is_counted_once_whatever_its_outcome(moment: Moment) -> None:
    bench = Bench()
    bench.drain()
    bench.faults.plan("sink.commit", moment, InDoubt("injected"))
    bench.pipeline.submit("cat")
    bench.drain()
    assert "in_doubt" in bench.process.observer.names()
    assert bench.stored() == {b"act": b"1"}
    assert len(bench.pipeline.results()) == 1


def test_transaction_in_doubt_restores_only_the_tail() -> None:
    bench = Bench()
    bench.pipeline.submit("cat dog tea listen")
    bench.drain()
    bench.faults.plan("sink.commit", Moment.AFTER, InDoubt("injected"))
    bench.pipeline.submit("cat")
    bench.drain()
    assert bench.process.observer.of("restored")[-1] == (0, 1, 2)


def test_rebalance_that_the_worker_has_not_seen_aborts() -> None:
    bench = Bench(classic=True)
    bench.drain()
    bench.faults.plan("sink.send_offsets", Moment.BEFORE, bench.pipeline.group.rebalance)
    bench.pipeline.submit("cat")
    bench.drain()
    assert "aborted" in bench.process.observer.names()
    assert bench.stored() == {b"act": b"1"}


def test_batch_that_takes_longer_than_the_poll_interval_is_not_committed() -> None:
    bench = Bench()
    bench.drain()
    begun = list[str]()
    bench.faults.plan("sink.begin", Moment.BEFORE, lambda: begun.append("begun"))
    bench.pipeline.submit("cat")
    bench.slow_s = LOST_AFTER_S + 1.0
    bench.process.run_once()
    assert not begun
    assert bench.process.observer.names()[-1] == "aborted"
    bench.slow_s = 0.0
    bench.drain()
    assert bench.stored() == {b"act": b"1"}


def test_slow_machine_commits_what_it_processed_in_time_and_the_rest_later() -> None:
    """Otherwise its transaction would time out, and the same batch would be repeated forever."""
    bench = Bench(partitions=2, tuning=Tuning(processing_s_max=0.0, chunk_records=2))
    for number in range(10):
        bench.pipeline.submit("cat", partition=number % 2)
    bench.drain()
    committed = [what for _, what in bench.process.observer.events if isinstance(what, Committed)]
    assert sorted(what.records for what in committed) == [1, 1, 2, 2, 2, 2]
    assert bench.pipeline.committed() == [5, 5]
    assert bench.pipeline.totals() == bench.pipeline.totals(1) == {"act": 5}


def test_partitions_take_turns_so_that_none_starves_when_time_is_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(partitions=2, tuning=Tuning(processing_s_max=3.5, chunk_records=1))
    produce = FakeSink.produce

    def slow(self: FakeSink, outputs: Outputs) -> None:
        bench.pipeline.cluster.clock.advance(1.0)
        produce(self, outputs)

    monkeypatch.setattr(FakeSink, "produce", slow)
    for partition in (0, 0, 0, 0, 0, 1, 1, 1, 1, 1):
        bench.pipeline.submit("cat", partition)
    bench.drain()
    first = next(what for _, what in bench.process.observer.events if isinstance(what, Committed))
    assert first.offsets == {0: 2, 1: 2}


def take_transactional_id(bench: Bench) -> None:
    FakeSink(
        bench.pipeline.cluster, bench.pipeline.names, f"{bench.pipeline.names.group}-worker-0"
    ).reset_producer()


def test_worker_that_is_fenced_once_continues_with_a_new_producer_and_counts_exactly() -> None:
    bench = Bench()
    bench.drain()
    for word in ("cat", "act"):
        take_transactional_id(bench)
        bench.pipeline.submit(word)
        bench.drain()
        bench.pipeline.cluster.clock.advance(FENCES_APART_S)
    assert bench.pipeline.committed() == [2]
    assert bench.stored() == {b"act": b"2"}
    assert bench.process.observer.names().count("in_doubt") == 2


def test_worker_whose_transactional_id_was_taken_stops_when_it_is_fenced_again_soon() -> None:
    bench = Bench()
    bench.drain()
    take_transactional_id(bench)
    bench.pipeline.submit("cat")
    bench.drain()
    bench.pipeline.cluster.clock.advance(FENCES_APART_S / 2)
    take_transactional_id(bench)
    bench.pipeline.submit("act")
    with pytest.raises(Fenced, match="took its id back, so another worker uses the same id"):
        bench.drain()
    assert bench.pipeline.committed() == [1]


def test_member_that_the_group_refuses_occasionally_continues() -> None:
    """A coordinator that cannot write the group's state refuses static members, perhaps several times."""
    bench = Bench()
    bench.drain()
    for _ in range(3):
        for _ in range(4):
            bench.faults.plan("source.poll_batch", Moment.BEFORE, Fenced("refused"))
        bench.pipeline.submit("cat")
        bench.drain()
        bench.pipeline.cluster.clock.advance(REFUSALS_APART_S + 1)
    assert bench.stored() == {b"act": b"3"}


def test_member_that_the_group_refuses_for_too_long_stops() -> None:
    bench = Bench()
    bench.drain()
    for _ in range(int(REFUSED_S_MAX / REFUSALS_APART_S) * 2):
        bench.faults.plan("source.poll_batch", Moment.BEFORE, Fenced("refused"))
        bench.drain()
        bench.pipeline.cluster.clock.advance(REFUSALS_APART_S / 2)
    bench.faults.plan("source.poll_batch", Moment.BEFORE, Fenced("refused"))
    with pytest.raises(Fenced, match="another worker uses the same id"):
        bench.drain()


def test_reason_to_wait_is_reported_once() -> None:
    bench = Bench()
    bench.drain()
    for _ in range(3):
        bench.faults.plan("source.poll_batch", Moment.BEFORE, Retriable("unavailable"))
    bench.pipeline.submit("cat")
    bench.drain()
    assert bench.process.observer.names().count("waiting") == 1
    assert bench.stored() == {b"act": b"1"}


def test_end_of_a_wait_is_reported() -> None:
    bench = Bench()
    bench.drain()
    bench.faults.plan("source.poll_batch", Moment.BEFORE, Retriable("unavailable"))
    bench.pipeline.submit("cat")
    bench.drain()
    names = bench.process.observer.names()
    assert names.index("resumed", names.index("waiting"))


def test_partition_moves_to_a_worker_that_joins() -> None:
    bench = Bench(partitions=2)
    for partition in (0, 1):
        bench.pipeline.submit("cat", partition)
    bench.drain()
    joining = FakeProcess(
        bench.pipeline.cluster, bench.pipeline.names, bench.pipeline.fold, instance="worker-1"
    )
    for partition in (0, 1):
        bench.pipeline.submit("dog", partition)
    bench.pipeline.drain(bench.process, joining)
    assert list(joining.assignment.running()) == [1]
    assert bench.process.observer.of("revoked") == [[1]]
    assert not bench.disks[1].in_use
    assert bench.pipeline.totals(1) == {"act": 1, "dgo": 1}


def test_batch_is_bounded_and_no_record_is_left_out() -> None:
    bench = Bench(tuning=Tuning(batch_records_max=3))
    for _ in range(10):
        bench.pipeline.submit("cat")
    bench.drain()
    sizes = [what.records for what in bench.process.observer.of("committed") if isinstance(what, Committed)]
    assert sizes == [3, 3, 3, 1]


def test_defect_in_processing_stops_the_worker_and_its_batch_is_not_visible() -> None:
    bench = Bench()
    bench.drain()
    bench.faults.plan("sink.produce", Moment.BEFORE, RuntimeError("a defect"))
    bench.pipeline.submit("cat")
    with pytest.raises(RuntimeError, match="a defect"):
        bench.run(passes=20)
    assert not bench.pipeline.results()
    assert not bench.pipeline.group.owners()
    assert not bench.disks[0].in_use


def test_lost_partition_is_restored_again_by_its_next_owner() -> None:
    """The group removed a worker that stalled; the worker joins again as another member."""
    bench = Bench()
    bench.pipeline.submit("cat")
    bench.drain()
    bench.process.pause()
    bench.pipeline.cluster.clock.advance(60.0)
    bench.process.resume()
    bench.pipeline.submit("cat")
    bench.drain()
    assert bench.process.observer.of("lost") == [[0]]
    assert bench.stored() == {b"act": b"2"}


def test_partition_that_is_assigned_twice_is_restored_again() -> None:
    """This happens after a loss that was not reported."""
    bench = Bench()
    bench.pipeline.submit("cat")
    bench.drain()
    bench.process.worker.assigned([0])
    partition = bench.process.assignment[0]
    assert (partition.state, partition.store) == (PartitionState.RESTORING, None)
    assert not bench.disks[0].in_use


@pytest.mark.parametrize("lost", [False, True])
def test_partition_that_is_revoked_or_lost_is_no_longer_restored(*, lost: bool) -> None:
    bench = Bench()
    for _ in range(3):
        bench.process.run_once()
    assert list(bench.process.assignment)
    (bench.process.worker.lost if lost else bench.process.worker.revoked)([0])
    assert not list(bench.process.assignment)
    assert not bench.process.restorer._opening.keys() | bench.process.restorer._reading.keys()
    assert bench.process.observer.of("lost" if lost else "revoked") == [[0]]


@pytest.mark.parametrize("role", ["count", "result"])
@pytest.mark.parametrize("call", ["sink.produce_changelog", "sink.flush"])
def test_truncation_that_aborted_records_hide_is_detected(role: str, call: str) -> None:
    bench = Bench()
    for text in ("cat", "listen"):
        bench.pipeline.submit(text)
        bench.drain()
    log = bench.pipeline.cluster.log(bench.pipeline.names.by_role[role], 0)
    log.truncate(log.high_watermark - 2)  # the last record and its marker
    bench.pipeline.submit("cat dog")
    bench.faults.plan(call, Moment.AFTER, Abortable("the broker did not answer in time"))
    with pytest.raises(LogsChanged, match=f"{role} topic, partition 0: the log no longer contains"):
        bench.drain()


def test_store_without_evidence_is_not_continued_in_a_shorter_changelog() -> None:
    """An earlier version committed the offset, so only the store records how long the changelog was."""
    bench = Bench()
    for text in ("cat", "listen"):
        bench.pipeline.submit(text)
        bench.drain()
    bench.process.worker.close()
    bench.pipeline.group.commit({0: CommittedOffset(2, COUNTED)})
    process = FakeProcess(
        bench.pipeline.cluster, bench.pipeline.names, bench.pipeline.fold, disks=bench.disks
    )
    bench.pipeline.drain(process)
    log = bench.pipeline.cluster.log(bench.pipeline.names.counts, 0)
    log.truncate(log.high_watermark - 2)
    bench.pipeline.submit("cat dog")
    with pytest.raises(LogsChanged, match="count topic, partition 0"):
        bench.pipeline.drain(process)


def test_dead_letters_of_another_partition_do_not_hide_a_truncation() -> None:
    bench = Bench()
    bench.pipeline.submit(None)
    bench.drain()
    log = bench.pipeline.cluster.log(bench.pipeline.names.dead_letters, 0)
    log.truncate(0)
    for _ in range(5):
        log.append(Record(None, b"of another partition"))
    bench.pipeline.submit(None)
    with pytest.raises(LogsChanged, match="dead-letter topic, partition 0: the log no longer contains"):
        bench.drain()


def test_changelog_that_lost_only_a_marker_stops_the_worker_without_a_traceback() -> None:
    bench = Bench()
    for text in ("cat", "listen"):
        bench.pipeline.submit(text)
        bench.drain()
    bench.process.worker.close()
    process = FakeProcess(bench.pipeline.cluster, bench.pipeline.names, bench.pipeline.fold, disks={})
    bench.pipeline.drain(process)  # its store is at the marker
    log = bench.pipeline.cluster.log(bench.pipeline.names.counts, 0)
    log.truncate(log.high_watermark - 1)
    bench.pipeline.submit("cat")
    with pytest.raises(LogsChanged, match="count topic, partition 0"):
        bench.pipeline.drain(process)
