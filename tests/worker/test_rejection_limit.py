import pytest

from stream.errors import Abortable, Fatal, TooManyRejections
from stream.testing.faults import Faults, Moment
from stream.testing.pipeline import FakePipeline
from stream.testing.process import FakeProcess, Tuning

LIMIT = 5


def worker_of(pipeline: FakePipeline, batch_records_max: int, faults: Faults | None = None) -> FakeProcess:
    tuning = Tuning(batch_records_max=batch_records_max, rejected_in_a_row_max=LIMIT)
    return FakeProcess(pipeline.cluster, pipeline.names, pipeline.fold, tuning=tuning, faults=faults)


def test_batch_that_exceeds_the_limit_commits_nothing() -> None:
    pipeline = FakePipeline()
    pipeline.submit("cat")
    for _ in range(LIMIT + 1):
        pipeline.submit(None)
    worker = worker_of(pipeline, batch_records_max=4)
    with pytest.raises(Fatal, match="in a row"):
        pipeline.drain(worker)
    assert pipeline.committed() == [4]
    assert len(pipeline.dead_letters()) == 3
    assert pipeline.cluster.coordinator.is_settled()


def test_refusal_names_the_first_and_the_last_record_and_the_setting() -> None:
    pipeline = FakePipeline()
    for value in ["cat", None, "cat", *[None] * (LIMIT + 1)]:
        pipeline.submit(value)
    with pytest.raises(
        TooManyRejections, match="partition 0, offset 3; the last one is offset 8: null-value"
    ) as caught:
        pipeline.drain(worker_of(pipeline, batch_records_max=4))
    assert f"STREAM_REJECTED_IN_A_ROW_MAX={LIMIT}" in str(caught.value)
    assert "STREAM_REJECTED_IN_A_ROW_MAX" in caught.value.hint
    assert pipeline.committed() == [8], "the first rejection was committed in an earlier batch"


def test_restarted_worker_counts_rejections_from_zero() -> None:
    pipeline = FakePipeline()
    for _ in range(LIMIT + 1):
        pipeline.submit(None)
    with pytest.raises(Fatal):
        pipeline.drain(worker_of(pipeline, batch_records_max=LIMIT))
    assert pipeline.committed() == [LIMIT]
    pipeline.cluster.clock.advance(60.0)
    pipeline.drain(worker_of(pipeline, batch_records_max=LIMIT))
    assert pipeline.committed() == [LIMIT + 1]


def test_rejections_in_a_row_up_to_the_limit_are_allowed() -> None:
    pipeline = FakePipeline()
    for value in [None] * LIMIT + ["cat"] + [None] * LIMIT:
        pipeline.submit(value)
    pipeline.drain(worker_of(pipeline, batch_records_max=3))
    assert len(pipeline.dead_letters()) == 2 * LIMIT


def test_rejections_of_a_repeated_batch_count_once() -> None:
    pipeline, faults = FakePipeline(), Faults()
    for _ in range(LIMIT):
        pipeline.submit(None)
    faults.plan("sink.commit", Moment.BEFORE, Abortable("injected"))
    worker = worker_of(pipeline, batch_records_max=LIMIT, faults=faults)
    pipeline.drain(worker)
    assert worker.observer.names().count("aborted") == 1
    assert len(pipeline.dead_letters()) == LIMIT


def test_rejections_in_a_row_are_counted_per_partition() -> None:
    pipeline = FakePipeline(partitions=2)
    for _ in range(LIMIT):
        pipeline.submit(None, partition=0)
        pipeline.submit(None, partition=1)
    pipeline.drain(worker_of(pipeline, batch_records_max=4))
    assert pipeline.committed() == [LIMIT, LIMIT]
