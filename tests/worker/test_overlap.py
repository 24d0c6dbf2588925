"""A worker that is behind: what was counted is committed while the next batch is counted."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import pytest

from stream.core.records import InputRecord
from stream.errors import Abortable, InDoubt, Retriable, StageFailed
from stream.ports import Aside, Committed, Joined
from stream.store.memory import MemoryDisk
from stream.testing.faults import Faults, Moment
from stream.testing.pipeline import FakePipeline
from stream.testing.process import FakeProcess, Inline, Tuning
from stream.testing.sink import FakeSink

BATCH = 2
T = TypeVar("T")


class Late:
    """Does what is to be done aside when it is waited for: the other order of the two."""

    def submit(self, work: Callable[[], T], /) -> Joined[T]:
        return _Waiting(work)


class _Waiting(Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work

    def result(self) -> T:
        return self._work()


class Telling:
    """Does at once, or when it is waited for; keeps when it was asked, and when waited for."""

    def __init__(self, events: list[object], aside: Aside) -> None:
        self._events = events
        self._aside = aside

    def submit(self, work: Callable[[], T], /) -> Joined[T]:
        self._events.append("submit")
        doing = self._aside.submit(work)

        def result() -> T:
            self._events.append("join")
            return doing.result()

        return _Waiting(result)


class Bench:
    """A pipeline and a worker; `events`: offsets as they are counted, and what is done aside."""

    def __init__(self, aside: Aside | None = None, partitions: int = 1, tuning: Tuning | None = None) -> None:
        self.pipeline, self.faults = FakePipeline(partitions), Faults()
        self.disks: dict[int, MemoryDisk] = {}
        self.events: list[object] = []
        self.failing: BaseException | None = None  # raised where record 2 is counted
        self.process = FakeProcess(
            self.pipeline.cluster,
            self.pipeline.names,
            self.pipeline.index,
            faults=self.faults,
            disks=self.disks,
            tuning=tuning or Tuning(batch_records_max=BATCH),
            disturb=self._disturb,
        )
        self.worker = self.process.worker
        self.worker._aside = Telling(self.events, aside or Inline())
        self.pipeline.drain(self.process)

    def _disturb(self, record: InputRecord) -> None:
        self.events.append(record.offset)
        if self.failing is not None and record.offset == 2:
            raise self.failing

    def submit(self, records: int, partition: int = 0) -> None:
        for _ in range(records):
            self.pipeline.submit("cat", partition)

    def drain(self, *others: FakeProcess) -> None:
        self.pipeline.drain(self.process, *others)

    def committed(self) -> list[dict[int, int]]:
        found = self.process.observer.of("committed")
        return [dict(what.offsets) for what in found if isinstance(what, Committed)]

    def assert_counted_once(self, records: int, partition: int = 0) -> None:
        """In order, by results, totals and the store."""
        results = self.pipeline.results(partition)
        assert [result["source"]["offset"] for result in results] == list(range(records))
        assert self.pipeline.totals(partition) == {"act": records}
        assert partition not in self.disks or self.disks[partition].totals == {b"act": b"%d" % records}


@pytest.fixture(params=[Inline, Late])
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(request.param())


def test_a_batch_is_committed_while_the_next_is_counted(bench: Bench) -> None:
    bench.submit(5)
    bench.drain()
    one_ahead = [0, 1, "submit", 2, 3, "join", "submit", 4, "join", "submit", "join"]
    assert bench.events == one_ahead
    assert bench.committed() == [{0: 2}, {0: 4}, {0: 5}]
    bench.assert_counted_once(5)


def test_worker_that_is_not_behind_holds_nothing_back(bench: Bench) -> None:
    bench.submit(1)
    bench.process.turn()
    assert bench.events == [0, "submit", "join"]
    assert bench.pipeline.committed() == [1]


def test_what_was_counted_is_committed_though_nothing_follows(bench: Bench) -> None:
    """And though the group could not be polled."""
    for fault in (None, Retriable("away")):
        bench.submit(BATCH)
        before = bench.pipeline.committed()
        bench.process.turn()
        assert bench.pipeline.committed() == before
        if fault is not None:
            bench.faults.plan("source.poll_batch", Moment.BEFORE, fault)
        bench.process.turn()
        assert bench.pipeline.committed() == [before[0] + BATCH]
    bench.assert_counted_once(2 * BATCH)


def test_worker_that_is_behind_waits_for_nobody(bench: Bench) -> None:
    bench.submit(BATCH)
    bench.process.turn()
    before = bench.pipeline.cluster.clock.monotonic()
    bench.process.turn()
    assert bench.pipeline.cluster.clock.monotonic() == before


@pytest.mark.parametrize("call", ["sink.begin", "sink.produce", "sink.send_offsets", "sink.commit"])
def test_abort_brings_both_batches_again(bench: Bench, call: str) -> None:
    bench.submit(6)
    bench.process.turn()
    bench.faults.plan(call, Moment.BEFORE, Abortable("injected"))
    bench.process.turn()
    assert bench.events == [0, 1, "submit", 2, 3, "join"]
    assert bench.process.observer.names()[-1] == "aborted"
    assert bench.worker._counted is None
    bench.events.clear()
    bench.drain()
    assert [event for event in bench.events if isinstance(event, int)] == list(range(6))
    bench.assert_counted_once(6)


@pytest.mark.parametrize("aside", [Inline(), Late()])
def test_abort_brings_again_what_only_one_of_both_batches_holds(aside: Aside) -> None:
    """The first holds records of one partition, the second of another."""
    bench = Bench(aside, partitions=2)
    bench.submit(BATCH)
    bench.process.turn()
    bench.submit(BATCH, partition=1)
    bench.faults.plan("sink.commit", Moment.BEFORE, Abortable("injected"))
    bench.process.turn()
    assert bench.process.observer.names()[-1] == "aborted"
    bench.drain()
    bench.assert_counted_once(BATCH, 0)
    bench.assert_counted_once(BATCH, 1)


@pytest.mark.parametrize("moment", Moment)
def test_doubt_brings_both_again_but_what_was_committed(bench: Bench, moment: Moment) -> None:
    bench.submit(6)
    bench.process.turn()
    bench.faults.plan("sink.commit", moment, InDoubt("injected"))
    bench.process.turn()
    assert "in_doubt" in bench.process.observer.names()
    assert bench.worker._counted is None
    bench.events.clear()
    bench.drain()
    first = 0 if moment is Moment.BEFORE else BATCH
    assert [event for event in bench.events if isinstance(event, int)] == list(range(first, 6))
    bench.assert_counted_once(6)


def test_partition_that_goes_takes_what_was_counted_of_it() -> None:
    """The rest is committed; whoever has the partition now begins there."""
    bench = Bench(partitions=2, tuning=Tuning(batch_records_max=2 * BATCH))
    bench.submit(BATCH, partition=0)
    bench.submit(BATCH, partition=1)
    bench.process.turn()
    assert bench.worker._counted is not None
    assert sorted(bench.worker._counted.first) == [0, 1]
    cluster, names, index = bench.pipeline.cluster, bench.pipeline.names, bench.pipeline.index
    joining = FakeProcess(cluster, names, index, instance="worker-1")
    joining.turn()
    joining.turn()
    bench.process.turn()
    assert bench.process.observer.of("revoked") == [[1]]
    assert (bench.committed(), bench.pipeline.committed()) == ([{0: BATCH}], [BATCH, 0])
    bench.drain(joining)
    bench.assert_counted_once(BATCH, 0)
    bench.disks.pop(1)  # an old one, not written since
    bench.assert_counted_once(BATCH, 1)
    assert bench.committed() == [{0: BATCH}]


def test_last_partition_that_goes_takes_all_that_was_counted(bench: Bench) -> None:
    """The group gave up a worker that stood still; it comes back as another member."""
    bench.submit(BATCH)
    bench.process.turn()
    bench.process.pause()
    bench.pipeline.cluster.clock.advance(60.0)
    bench.process.resume()
    bench.events.clear()
    bench.process.turn()
    assert bench.process.observer.of("lost") == [[0]]
    assert (bench.events, bench.pipeline.committed()) == ([], [0])
    bench.drain()
    bench.assert_counted_once(BATCH)


def test_stopping_worker_commits_what_it_has_counted(bench: Bench) -> None:
    bench.submit(BATCH + 1)
    bench.worker.run(lambda: bench.worker._counted is not None)
    assert bench.pipeline.committed() == [BATCH]
    assert bench.events == [0, 1, "submit", "join"]
    bench.assert_counted_once(BATCH)
    assert bench.pipeline.cluster.coordinator.is_settled()


def test_batch_that_the_deadline_ended_is_not_held_back() -> None:
    bench = Bench(tuning=Tuning(batch_records_max=4, retry_attempts_max=9, batch_deadline_s=0.015))
    bench.submit(5)
    bench.failing = StageFailed("decide", "in passing")
    bench.process.turn()
    assert bench.worker._counted is None
    assert bench.pipeline.committed() == [2]
    bench.failing = None
    bench.drain()
    bench.assert_counted_once(5)


def test_what_goes_on_aside_is_waited_for_when_counting_fails(bench: Bench) -> None:
    bench.submit(2 * BATCH)
    bench.process.turn()
    bench.failing = RuntimeError("a defect")
    with pytest.raises(RuntimeError, match="a defect"):
        bench.process.turn()
    assert bench.events[-2:] == [2, "join"]
    assert bench.pipeline.committed() == [BATCH]
    assert bench.pipeline.cluster.coordinator.is_settled()


def test_on_a_thread_of_its_own_it_comes_to_the_same() -> None:
    with ThreadPoolExecutor(1) as executor:
        bench = Bench(executor)
        bench.submit(20 * BATCH)
        bench.drain()
    assert len(bench.committed()) == 20
    bench.assert_counted_once(20 * BATCH)


def test_inline_keeps_what_was_raised_until_it_is_joined() -> None:
    def fail() -> None:
        raise Abortable("injected")

    joined = Inline().submit(fail)
    assert isinstance(joined, Future)
    with pytest.raises(Abortable, match="injected"):
        joined.result()


@pytest.mark.parametrize(("waited_s", "holds_back"), [(0.0, False), (1e9, True)])
def test_a_counted_batch_is_held_back_only_where_commits_wait_for_kafka(
    monkeypatch: pytest.MonkeyPatch, waited_s: float, *, holds_back: bool
) -> None:
    monkeypatch.setattr(FakeSink, "commit_wait_s", lambda _: waited_s)
    bench, held = Bench(), list[bool]()
    bench.submit(3 * BATCH)
    for _ in range(3):
        bench.worker.turn()
        held.append(bench.worker._counted is not None)
    assert any(held) == holds_back
    bench.drain()
    bench.assert_counted_once(3 * BATCH)
