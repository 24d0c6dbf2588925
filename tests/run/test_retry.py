import random
from collections.abc import Callable

import pytest

from stream.core.records import InputRecord, OutputRecord
from stream.errors import Reason, Rejected, StageFailed
from stream.run.process import Outcome, Processor
from stream.run.retry import WAIT_S_MAX, DeadlineMet, Retrier
from stream.testing.clock import FakeClock
from stream.testing.observer import FakeObserver
from stream.testing.pipeline import FakePipeline
from stream.testing.process import FakeProcess, Tuning

ATTEMPTS_MAX = 5
FAR = 1e9


class Stage:
    """A step that fails a number of times."""

    def __init__(self, failures: int) -> None:
        self.calls = 0
        self._failures = failures

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self._failures:
            raise StageFailed("decide", "in passing")
        return "done"


class Bench:
    """A processor that counts records by way of a stage each."""

    def __init__(self, *failures: int, deadline_s: float = FAR) -> None:
        self.clock, self.observer = FakeClock(), FakeObserver()
        self.stages = [Stage(failing) for failing in failures]
        self.retrier = Retrier(self.clock, self.observer, ATTEMPTS_MAX, random.Random(1))
        self.processor = Processor(self._count, _bury, self.retrier, self.clock, deadline_s)
        self.records = [InputRecord("in", 0, offset, None, b"x") for offset in range(len(failures))]

    def _count(self, record: InputRecord) -> Outcome:
        self.stages[record.offset]()
        return Outcome(OutputRecord("out", record.partition, None, b"counted"))


def _bury(record: InputRecord, why: Rejected) -> Outcome:
    return Outcome(OutputRecord("dead", record.partition, None, None), rejected=why)


def test_step_that_fails_in_passing_is_tried_again() -> None:
    bench = Bench(2)
    done = bench.processor.process(bench.records)
    assert [outcome.record.value for outcome in done.outcomes[0]] == [b"counted"]
    assert bench.stages[0].calls == 3
    assert not done.undone


def test_step_is_tried_as_often_as_the_setting_says_and_then_rejected() -> None:
    bench = Bench(99)
    done = bench.processor.process(bench.records)
    rejected = done.outcomes[0][0].rejected
    assert rejected is not None
    assert (rejected.reason, rejected.stage) == (Reason.RETRIES_EXHAUSTED, "decide")
    assert rejected.attempts == bench.stages[0].calls == ATTEMPTS_MAX
    assert done.next_offsets == {0: 1}


def test_every_failed_attempt_is_told_and_waited_for() -> None:
    bench = Bench(99)
    started = bench.clock.monotonic()
    bench.processor.process(bench.records)
    assert bench.observer.of("retried") == [("decide", attempt) for attempt in range(1, ATTEMPTS_MAX + 1)]
    assert 0.0 < bench.clock.monotonic() - started <= WAIT_S_MAX * (ATTEMPTS_MAX - 1)


def test_deadline_ends_the_batch_before_the_record_and_remembers_its_attempts() -> None:
    bench = Bench(0, 99, 0, deadline_s=0.015)
    done = bench.processor.process(bench.records)
    assert done.next_offsets == {0: 1}
    assert done.undone == {0: 1}
    batches = 1
    while done.undone:
        batches += 1
        done = bench.processor.process(bench.records[1:])
    assert batches > 1
    rejected = done.outcomes[0][0].rejected
    assert rejected is not None
    assert rejected.attempts == bench.stages[1].calls == ATTEMPTS_MAX
    assert done.next_offsets == {0: 3}


def test_deadline_leaves_the_rest_of_every_partition_undone() -> None:
    bench = Bench(0, 99, deadline_s=0.0)
    others = [InputRecord("in", 1, 0, None, b"x"), InputRecord("in", 1, 1, None, b"x")]
    done = bench.processor.process([*bench.records, *others])
    assert done.undone == {0: 1, 1: 0}


def test_no_wait_passes_the_deadline() -> None:
    clock = FakeClock()
    retrier = Retrier(clock, FakeObserver(), ATTEMPTS_MAX, random.Random(1))
    deadline = clock.monotonic() + 0.03
    with pytest.raises(DeadlineMet):
        retrier.call((0, 0), Stage(99), deadline)
    assert clock.monotonic() < deadline


def test_attempts_of_a_partition_that_went_are_forgotten() -> None:
    bench = Bench(99, deadline_s=0.0)
    bench.processor.process(bench.records)
    bench.processor.forget(0)
    assert not bench.retrier._before


def test_record_that_is_tried_no_more_is_remembered_no_more() -> None:
    bench = Bench(1, deadline_s=0.0)
    assert bench.processor.process(bench.records).undone
    assert not bench.processor.process(bench.records).undone
    assert not bench.retrier._before


def test_rejected_record_is_not_tried_again() -> None:
    calls = list[InputRecord]()

    def count(record: InputRecord) -> Outcome:
        calls.append(record)
        raise Rejected(Reason.NULL_VALUE, "decode", "no value")

    bench = Bench(0)
    processor = Processor(count, _bury, bench.retrier, bench.clock, FAR)
    done = processor.process(bench.records)
    assert done.outcomes[0][0].rejected is not None
    assert len(calls) == 1


def test_dead_letter_says_how_often_it_was_tried() -> None:
    pipeline = FakePipeline()
    for text in ("cat", "stubborn", "dog"):
        pipeline.submit(text)
    worker = FakeProcess(
        pipeline.cluster,
        pipeline.names,
        pipeline.index,
        tuning=Tuning(retry_attempts_max=4, batch_deadline_s=0.02),
        disturb=failing_on(b"stubborn"),
    )
    pipeline.drain(worker)
    (letter,) = pipeline.dead_letters()
    assert letter["dead-letter.reason"] == "retries-exhausted"
    assert letter["dead-letter.attempts"] == "4"
    assert pipeline.totals() == {"act": 1, "dgo": 1}


def failing_on(value: bytes) -> Callable[[InputRecord], None]:
    def disturb(record: InputRecord) -> None:
        if record.value == value:
            raise StageFailed("decide", "in passing")

    return disturb
