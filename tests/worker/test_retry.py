import random
from collections.abc import Callable

import pytest
from worker.processor_bench import FAR_S, StagedBench, values

from stream.core.records import InputRecord
from stream.errors import Reason, Rejected, StageFailed
from stream.testing.clock import FakeClock
from stream.testing.faults import Moment
from stream.testing.observer import FakeObserver
from stream.testing.pipeline import FakePipeline
from stream.testing.process import DisturbedStage, FakeProcess, Tuning
from stream.worker.retry import WAIT_S_MAX, DeadlineMet, Retrier

ATTEMPTS_MAX = 5


class Stage:
    """A stage that fails `failures` times."""

    def __init__(self, failures: int) -> None:
        self.calls = 0
        self._failures = failures

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self._failures:
            raise StageFailed("decide", "transient")
        return "done"


class Bench(StagedBench):
    """A processor whose records must each pass a stage."""

    def __init__(self, *failures: int, deadline_s: float = FAR_S, partitions: int = 1) -> None:
        self.clock, self.observer = FakeClock(), FakeObserver()
        self.stages = [Stage(failing) for failing in failures]
        self.retrier = Retrier(self.clock, self.observer, ATTEMPTS_MAX, random.Random(1))
        stage = DisturbedStage(self._run_stage, self.retrier)
        super().__init__(stage, self.clock, deadline_s=deadline_s, partitions=partitions)
        self.records = [InputRecord("in", 0, offset, None, b"x") for offset in range(len(failures))]

    def _run_stage(self, record: InputRecord) -> None:
        self.stages[record.offset]()

    def run(self, *, start: int = 0) -> list[bytes | None]:
        return values(self.process(self.records[start:]))


def test_stage_that_fails_transiently_is_retried() -> None:
    bench = Bench(2)
    assert bench.run() == [b"counted 0"]
    assert bench.stages[0].calls == 3
    assert not bench.unprocessed


def test_record_is_rejected_after_the_configured_number_of_attempts() -> None:
    bench = Bench(99)
    assert bench.run() == [b"0: retries-exhausted"]
    assert bench.stages[0].calls == ATTEMPTS_MAX
    updates = bench.processor.state_updates()
    assert updates.offsets == {0: 1}
    assert updates.rejected == {"retries-exhausted": 1}


def test_rejection_names_stage_and_attempts() -> None:
    retrier = Retrier(FakeClock(), FakeObserver(), ATTEMPTS_MAX, random.Random(1))
    with pytest.raises(Rejected) as caught:
        retrier.call((0, 0), Stage(99), FAR_S)
    rejected = caught.value
    assert (rejected.reason, rejected.stage, rejected.attempts) == (
        Reason.RETRIES_EXHAUSTED,
        "decide",
        ATTEMPTS_MAX,
    )


def test_every_failed_attempt_is_reported_and_followed_by_a_wait() -> None:
    bench = Bench(99)
    started = bench.clock.monotonic()
    bench.run()
    assert bench.observer.of("retried") == [("decide", attempt) for attempt in range(1, ATTEMPTS_MAX + 1)]
    assert 0.0 < bench.clock.monotonic() - started <= WAIT_S_MAX * (ATTEMPTS_MAX - 1)


def test_deadline_ends_the_batch_before_the_record_and_its_attempts_are_remembered() -> None:
    bench = Bench(0, 99, 0, deadline_s=0.015)
    bench.run()
    updates = bench.processor.state_updates()
    assert updates.offsets == {0: 1}
    assert bench.unprocessed == {0: 1}
    batches = 1
    while bench.unprocessed:
        batches += 1
        outputs = bench.run(start=1)
        updates = bench.processor.state_updates()
    assert batches > 1
    assert outputs == [b"counted 2", b"1: retries-exhausted"]
    assert bench.stages[1].calls == ATTEMPTS_MAX
    assert updates.offsets[0] == 3


def test_deadline_leaves_the_rest_of_every_partition_unprocessed() -> None:
    bench = Bench(0, 99, deadline_s=0.0, partitions=2)
    others = [InputRecord("in", 1, 0, None, b"x"), InputRecord("in", 1, 1, None, b"x")]
    bench.process([*bench.records, *others])
    assert bench.unprocessed == {0: 1, 1: 1}, "the partitions take turns"


def test_batch_whose_first_record_meets_the_deadline_is_empty() -> None:
    bench = Bench(99, deadline_s=0.0)
    bench.process(bench.records)
    assert not bench.source.poll_batch(0).records
    assert bench.unprocessed == {0: 0}


def test_worker_begins_no_transaction_for_a_batch_that_meets_the_deadline_at_once() -> None:
    pipeline = FakePipeline()
    pipeline.submit("stubborn")
    tuning = Tuning(retry_attempts_max=4, batch_deadline_s=0.0)
    worker = FakeProcess(
        pipeline.cluster, pipeline.names, pipeline.fold, tuning=tuning, disturb=failing_on(b"stubborn")
    )
    begun = list[str]()
    worker.faults.plan("sink.begin", Moment.BEFORE, lambda: begun.append("begun"))
    while worker.observer.names().count("retried") < 3:
        worker.run_once()
    assert not begun
    pipeline.drain(worker)
    assert len(pipeline.dead_letters()) == 1


def test_no_wait_passes_the_deadline() -> None:
    clock = FakeClock()
    retrier = Retrier(clock, FakeObserver(), ATTEMPTS_MAX, random.Random(1))
    deadline = clock.monotonic() + 0.03
    with pytest.raises(DeadlineMet):
        retrier.call((0, 0), Stage(99), deadline)
    assert clock.monotonic() < deadline


def test_stopping_worker_does_not_wait() -> None:
    clock = FakeClock()
    retrier = Retrier(clock, FakeObserver(), ATTEMPTS_MAX, random.Random(1), lambda: True)
    started = clock.monotonic()
    with pytest.raises(DeadlineMet):
        retrier.call((0, 0), Stage(99), FAR_S)
    assert clock.monotonic() == started


def test_attempts_of_a_revoked_partition_are_forgotten() -> None:
    bench = Bench(99, deadline_s=0.0)
    bench.run()
    bench.revoke(0)
    assert not bench.retrier._attempts


def test_attempts_of_a_record_that_passed_are_forgotten() -> None:
    bench = Bench(1, deadline_s=0.0)
    bench.run()
    assert bench.unprocessed
    bench.run()
    assert not bench.unprocessed
    assert not bench.retrier._attempts


def test_rejected_record_is_not_retried() -> None:
    calls = list[InputRecord]()

    def reject(record: InputRecord) -> None:
        calls.append(record)
        raise Rejected(Reason.NULL_VALUE, "decode", "no value")

    clock = FakeClock()
    retrier = Retrier(clock, FakeObserver(), ATTEMPTS_MAX, random.Random(1))
    bench = StagedBench(DisturbedStage(reject, retrier), clock)
    assert values(bench.process([InputRecord("in", 0, 0, None, b"x")])) == [b"0: null-value"]
    assert len(calls) == 1


def test_records_that_do_not_pass_are_not_counted_and_the_others_are() -> None:
    bench = Bench(0, 99, 0, 0, 99)
    exhausted = b"retries-exhausted"
    assert bench.run() == [
        *(b"counted 0", b"counted 2", b"counted 3", b"1: " + exhausted, b"4: " + exhausted)
    ]
    assert bench.fold.processed == [0, 2, 3]
    assert bench.processor.state_updates().items == 3


def test_dead_letter_names_the_number_of_attempts() -> None:
    pipeline = FakePipeline()
    for text in ("cat", "stubborn", "dog"):
        pipeline.submit(text)
    worker = FakeProcess(
        pipeline.cluster,
        pipeline.names,
        pipeline.fold,
        tuning=Tuning(retry_attempts_max=4, batch_deadline_s=0.02),
        disturb=failing_on(b"stubborn"),
    )
    pipeline.drain(worker)
    (dead_letter,) = pipeline.dead_letters()
    assert dead_letter["dead-letter.reason"] == "retries-exhausted"
    assert dead_letter["dead-letter.attempts"] == "4"
    assert pipeline.totals() == {"act": 1, "dgo": 1}


def failing_on(value: bytes) -> Callable[[InputRecord], None]:
    def disturb(record: InputRecord) -> None:
        if record.value == value:
            raise StageFailed("decide", "transient")

    return disturb
