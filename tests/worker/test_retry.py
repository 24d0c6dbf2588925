import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from stream.core.fold import Counts
from stream.core.records import InputRecord, OutputRecord
from stream.errors import Reason, Rejected, StageFailed
from stream.testing.clock import FakeClock
from stream.testing.observer import FakeObserver
from stream.testing.pipeline import FakePipeline
from stream.testing.process import FakeProcess, Tuning
from stream.worker.processing import STEP, Processed, Processor, StagedProcessor
from stream.worker.retry import WAIT_S_MAX, DeadlineMet, Retrier

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
    """A processor whose records pass a stage each, which is their step."""

    def __init__(self, *failures: int, deadline_s: float = FAR) -> None:
        self.clock, self.observer = FakeClock(), FakeObserver()
        self.stages = [Stage(failing) for failing in failures]
        self.retrier = Retrier(self.clock, self.observer, ATTEMPTS_MAX, random.Random(1))
        self.processor = StagedProcessor(_count, _bury, self._step, self.retrier, self.clock, deadline_s)
        self.records = [InputRecord("in", 0, offset, None, b"x") for offset in range(len(failures))]

    def _step(self, record: InputRecord) -> None:
        self.stages[record.offset]()


def _count(records: Sequence[InputRecord]) -> Counts:
    made = [OutputRecord("out", record.partition, None, b"counted %d" % record.offset) for record in records]
    return Counts(made, len(made), np.zeros(len(made), np.int32))


def _bury(record: InputRecord, why: Rejected) -> OutputRecord:
    return OutputRecord("dead", record.partition, None, b"%d: %b" % (record.offset, why.reason.encode()))


def _values(done: Processed, partition: int = 0) -> list[bytes | None]:
    """What came of its records, all of them counted now."""
    return [record.value for step in done.parts[partition].steps() for record in step]


def _rejected(done: Processed) -> Rejected:
    done.count()
    return done.parts[0].rejected[0]


def _next_offsets(done: Processed) -> dict[int, int]:
    return {number: part.next_offset for number, part in done.parts.items()}


def test_step_that_fails_in_passing_is_tried_again() -> None:
    bench = Bench(2)
    done = bench.processor.process([*bench.records])
    assert _values(done) == [b"counted 0"]
    assert bench.stages[0].calls == 3
    assert not done.undone


def test_step_is_tried_as_often_as_the_setting_says_and_then_rejected() -> None:
    bench = Bench(99)
    done = bench.processor.process([*bench.records])
    rejected = _rejected(done)
    assert (rejected.reason, rejected.stage) == (Reason.RETRIES_EXHAUSTED, "decide")
    assert rejected.attempts == bench.stages[0].calls == ATTEMPTS_MAX
    assert _next_offsets(done) == {0: 1}


def test_every_failed_attempt_is_told_and_waited_for() -> None:
    bench = Bench(99)
    started = bench.clock.monotonic()
    bench.processor.process([*bench.records])
    assert bench.observer.of("retried") == [("decide", attempt) for attempt in range(1, ATTEMPTS_MAX + 1)]
    assert 0.0 < bench.clock.monotonic() - started <= WAIT_S_MAX * (ATTEMPTS_MAX - 1)


def test_deadline_ends_the_batch_before_the_record_and_remembers_its_attempts() -> None:
    bench = Bench(0, 99, 0, deadline_s=0.015)
    done = bench.processor.process([*bench.records])
    assert _next_offsets(done) == {0: 1}
    assert done.undone == {0: 1}
    batches = 1
    while done.undone:
        batches += 1
        done = bench.processor.process(bench.records[1:])
    assert batches > 1
    rejected = _rejected(done)
    assert rejected.attempts == bench.stages[1].calls == ATTEMPTS_MAX
    assert _next_offsets(done) == {0: 3}


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
    bench.processor.process([*bench.records])
    bench.processor.forget(0)
    assert not bench.retrier._before


def test_record_that_is_tried_no_more_is_remembered_no_more() -> None:
    bench = Bench(1, deadline_s=0.0)
    assert bench.processor.process([*bench.records]).undone
    assert not bench.processor.process([*bench.records]).undone
    assert not bench.retrier._before


def test_rejected_record_is_not_tried_again() -> None:
    calls = list[InputRecord]()

    def step(record: InputRecord) -> None:
        calls.append(record)
        raise Rejected(Reason.NULL_VALUE, "decode", "no value")

    bench = Bench(0)
    done = StagedProcessor(_count, _bury, step, bench.retrier, bench.clock, FAR).process([*bench.records])
    assert _rejected(done).reason is Reason.NULL_VALUE
    assert len(calls) == 1


def test_records_that_did_not_pass_stand_between_the_others_in_order() -> None:
    """They are not counted, and whatever counting itself rejects is at its place too."""
    bench = Bench(0, 99, 0, 0, 99)

    def count(records: Sequence[InputRecord]) -> Counts:
        made, why = _count(records).outcomes, Rejected(Reason.BAD_JSON, "decode", "none")
        return Counts([made[0], why, made[2]], 2, np.zeros(2, np.int32))

    bench.processor = StagedProcessor(count, _bury, bench._step, bench.retrier, bench.clock, FAR)
    done = bench.processor.process([*bench.records])
    spent = b"retries-exhausted"
    assert _values(done) == [*(b"counted 0", b"1: " + spent, b"2: bad-json", b"counted 3", b"4: " + spent)]
    part = done.parts[0]
    assert list(part.was_rejected()) == [False, True, True, False, True]
    assert [part.rejected[place].reason.encode() for place in (1, 2, 4)] == [spent, b"bad-json", spent]
    assert (part.words, sum(map(len, part.ids)), part.next_offset) == (2, 2, 5)


def test_without_a_step_every_record_is_reached_and_partitions_are_apart() -> None:
    records = [InputRecord("in", number % 2, number, None, b"x") for number in range(5)]
    done = Processor(_count, _bury, FakeClock()).process([*records])
    assert (_next_offsets(done), done.undone) == ({0: 5, 1: 4}, {})
    assert _values(done, 1) == [b"counted 1", b"counted 3"]
    assert not _values(done, 1), "taken once"


def test_what_was_counted_before_is_taken_first_and_in_order() -> None:
    records = [InputRecord("in", 0, number, None, b"x") for number in range(2 * STEP + 1)]
    done = Processor(_count, _bury, FakeClock()).process([*records])
    steps = done.parts[0].steps()
    first = next(steps)
    assert done.parts[0].words == len(first) == STEP, "a step, as it is taken"
    done.count()
    assert done.parts[0].words == sum(map(len, done.parts[0].ids)) == len(records)
    made = [*first, *(record for step in steps for record in step)]
    assert [record.value for record in made] == [b"counted %d" % number for number in range(len(records))]


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
