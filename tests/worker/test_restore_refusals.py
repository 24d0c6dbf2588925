"""The states that restore refuses, each with the command that fixes it."""

from dataclasses import replace

import pytest

from stream.core.evidence import CommittedOffset, Evidence
from stream.core.processed_offset import ProcessedOffset
from stream.errors import Refused
from stream.testing.cluster import FakeCluster
from stream.testing.pipeline import FakePipeline
from stream.testing.process import FakeProcess
from stream.testing.sink import FakeSink


def refused(pipeline: FakePipeline, match: str) -> Refused:
    with pytest.raises(Refused, match=match) as caught:
        pipeline.drain(FakeProcess(pipeline.cluster, pipeline.names, pipeline.fold))
    assert caught.value.hint
    return caught.value


def test_hanging_transaction_is_refused() -> None:
    pipeline = FakePipeline(cluster=FakeCluster(transaction_timeout_s=1e9))
    sink = FakeSink(pipeline.cluster, pipeline.names, "another")
    sink.reset_producer()
    sink.begin()
    sink.produce_changelog(0, {b"act": b"9"}, ())
    assert "KIP-664" in refused(pipeline, "hanging transaction").hint


def test_totals_without_a_committed_offset_are_refused(counted: FakePipeline) -> None:
    counted.group.forget_offset(0)
    refused(counted, "no committed offset")


@pytest.mark.parametrize(("offset", "effect"), [(2, "twice"), (9, "skip the input from 4 to before 9")])
def test_committed_offset_of_somebody_else_is_refused(
    counted: FakePipeline, offset: int, effect: str
) -> None:
    counted.group.commit({0: CommittedOffset(offset)})
    refused(counted, f"not written by this application.*{effect}")


def test_committed_offset_below_the_totals_is_refused(counted: FakePipeline) -> None:
    earlier = Evidence(
        2,
        {role: counted.cluster.topic_id(name) or "" for role, name in counted.names.by_role.items()},
        counted.fold.digest,
    )
    counted.group.commit({0: CommittedOffset(2, earlier.encode())})
    refused(counted, "is below")


def test_totals_of_another_dictionary_are_refused(counted: FakePipeline) -> None:
    sink = FakeSink(counted.cluster, counted.names, "another")
    sink.reset_producer()
    sink.begin()
    sink.produce_changelog(0, {b"act": b"9"}, ProcessedOffset(4, "another digest").headers())
    sink.commit()
    assert "STREAM_DICTIONARY" in refused(counted, "another dictionary").hint


def test_loss_of_the_totals_is_refused(counted: FakePipeline) -> None:
    counted.cluster.delete(counted.names.counts)
    counted.cluster.create(counted.names.counts, 1)
    refused(counted, "is not the same topic as before")


def test_committed_offset_below_the_input_is_refused_with_the_loss(counted: FakePipeline) -> None:
    for _ in range(3):
        counted.submit("cat")
    counted.cluster.log(counted.names.input, 0).trim(6)
    error = refused(counted, "the input from 4 to before 6 was never counted")
    assert "offsets skip --partition 0 --to 6" in error.hint


@pytest.mark.parametrize("value", [b"not a total", b""])
def test_changelog_that_no_worker_wrote_is_refused(counted: FakePipeline, value: bytes) -> None:
    counted.cluster.produce(counted.names.counts, 0, value, b"act")
    refused(counted, "no worker writes")


def test_totals_without_a_processed_offset_are_refused() -> None:
    pipeline = FakePipeline()
    pipeline.cluster.produce(pipeline.names.counts, 0, b"7", b"act")
    refused(pipeline, "totals that no worker writes")


def test_dead_letters_without_offset_and_totals_are_refused_until_the_group_has_a_new_name() -> None:
    pipeline = FakePipeline(2, dead_letter_partitions=1)
    pipeline.submit(None, 1)
    pipeline.drain(worker := FakeProcess(pipeline.cluster, pipeline.names, pipeline.fold))
    worker.worker.close()
    assert not pipeline.results(1)
    pipeline.group.forget_offsets()
    pipeline.cluster.delete(pipeline.names.counts)
    pipeline.cluster.create(pipeline.names.counts, 2)
    error = refused(pipeline, "partition 1: anagram-results or dead-letters has records of this partition")
    assert "anagram-stream start-over" in error.hint
    names = replace(pipeline.names, group="another", results="more-results", counts="more-counts")
    again = FakePipeline(2, cluster=pipeline.cluster, names=names, dead_letter_partitions=1)
    again.drain(FakeProcess(again.cluster, names, again.fold))
    assert len(again.dead_letters()) == 2


def test_input_that_was_truncated_and_grew_to_the_committed_offset_is_refused(counted: FakePipeline) -> None:
    log = counted.cluster.log(counted.names.input, 0)
    log.truncate(log.high_watermark - 1)
    counted.submit("dog")
    process = FakeProcess(counted.cluster, counted.names, counted.fold)
    with pytest.raises(Refused, match="the log was truncated"):
        process.worker.run(lambda: len(process.observer.of("restored")) > 1)
