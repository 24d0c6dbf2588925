from collections.abc import Sequence
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worker.processor_bench import CountFold, make_processor, take, values

from stream.core.records import InputRecord
from stream.errors import Fatal, Reason, Rejected
from stream.ports import Batch
from stream.testing.clock import FakeClock
from stream.worker.processing import CHUNK_BYTES, CHUNK_RECORDS

R, OK = True, False
BATCHES = st.lists(st.booleans(), max_size=12)
BAD = Rejected(Reason.BAD_JSON, "decode", "none")


def records(number: int, partitions: int = 1, value: bytes = b"x") -> list[InputRecord]:
    return [InputRecord("in", n % partitions, n, None, value) for n in range(number)]


def test_partitions_are_processed_separately() -> None:
    processor = make_processor(FakeClock(), partitions=2)
    outputs = take(processor, records(5, partitions=2))
    assert values(outputs, 0) == [b"counted 0", b"counted 2", b"counted 4"]
    assert values(outputs, 1) == [b"counted 1", b"counted 3"]
    updates = processor.state_updates()
    assert updates.offsets == {0: 5, 1: 4}
    assert {number: changed.changes for number, changed in updates.changed.items()} == {
        0: {b"n": b"3"},
        1: {b"n": b"2"},
    }
    assert (updates.records, updates.items, updates.unprocessed) == (5, 5, {})


@pytest.mark.parametrize(
    ("number", "value", "size"),
    [(2 * CHUNK_RECORDS + 1, b"x", CHUNK_RECORDS), (9, b"x" * (CHUNK_BYTES // 3), 4)],
)
def test_records_are_processed_in_chunks_as_they_are_taken(number: int, value: bytes, size: int) -> None:
    fold = CountFold()
    chunks = make_processor(FakeClock(), fold).process(Batch.of(records(number, value=value)))
    assert not fold.processed
    assert len(next(chunks).results) == len(fold.processed) == size
    outputs = [record for chunk in chunks for record in chunk.results]
    assert fold.processed == list(range(number))
    assert len(outputs) == number - size


def test_processed_records_are_taken_out_of_the_batch() -> None:
    """Otherwise a batch would be in memory twice."""
    batch = Batch.of(records(3))
    list(make_processor(FakeClock()).process(batch))
    assert not batch.records


def test_rejected_records_add_nothing() -> None:
    processor = make_processor(FakeClock(), CountFold({1: BAD}))
    assert values(take(processor, records(3))) == [b"counted 0", b"counted 2", b"1: bad-json"]
    updates = processor.state_updates()
    assert updates.rejected == {"bad-json": 1}
    assert (updates.records, updates.items) == (3, 2)
    assert updates.changed[0].changes == {b"n": b"2"}


def test_rejection_keeps_no_frames() -> None:
    """Frames reference the record, so a batch of rejections would keep every text in memory."""
    raised = Rejected(Reason.BAD_JSON, "decode", "none")
    try:
        raise raised
    except Rejected:
        take(make_processor(FakeClock(), CountFold({0: raised})), records(1))
    assert raised.__traceback__ is None


def test_batch_of_rejections_changes_no_totals() -> None:
    processor = make_processor(FakeClock(), CountFold({0: BAD}))
    take(processor, records(1))
    updates = processor.state_updates()
    assert (updates.changed, updates.offsets) == ({}, {0: 1})


def test_time_limit_leaves_the_rest_of_every_partition_unprocessed() -> None:
    processor = make_processor(FakeClock(), partitions=3, processing_s_max=0.0)
    outputs = take(processor, records(6, partitions=3))
    updates = processor.state_updates()
    assert values(outputs) == [b"counted 0", b"counted 3"]
    assert updates.unprocessed == {1: 1, 2: 2}
    assert updates.offsets.keys() == {0}


def longest(batch: Sequence[bool]) -> int:
    return max((len(list(run)) for was_rejected, run in groupby(batch) if was_rejected), default=0)


def trailing(batch: Sequence[bool]) -> int:
    return next((number for number, was in enumerate(reversed(batch)) if not was), len(batch))


def in_a_row(before: int, batch: Sequence[bool], in_a_row_max: int) -> int:
    """Process a batch with these rejections; return the number of rejections in a row at its end."""
    fold = CountFold({offset: BAD for offset, was_rejected in enumerate(batch) if was_rejected})
    processor = make_processor(FakeClock(), fold, rejected_in_a_row_max=in_a_row_max)
    processor._assignment[0].rejected_in_a_row = before
    take(processor, records(len(batch)))
    return processor.state_updates().rejected_in_a_row.get(0, before)


@pytest.mark.parametrize(
    ("before", "batch", "in_a_row_max", "expected"),
    [
        (0, [], 3, 0),
        (2, [], 3, 2),
        (0, [OK], 3, 0),
        (3, [OK], 3, 0),
        (0, [R, R, R], 3, 3),
        (2, [R], 3, 3),
        (3, [OK, R], 3, 1),
        (0, [R, R, R, OK, R, R, R], 3, 3),
        (0, [R, OK, R], 1, 1),
        (7, [], 3, 7),
        (1_000, [R] * 1_000, 0, 2_000),
    ],
)
def test_rejections_in_a_row_are_allowed_up_to_the_limit(
    before: int, batch: list[bool], in_a_row_max: int, expected: int
) -> None:
    assert in_a_row(before, batch, in_a_row_max) == expected


@pytest.mark.parametrize(
    ("before", "batch", "in_a_row_max"),
    [(0, [R, R], 1), (3, [R], 3), (0, [OK, R, R, R, R, OK], 3), (2, [R, R, OK], 3), (7, [R], 3)],
)
def test_more_rejections_in_a_row_than_allowed_stop_the_worker(
    before: int, batch: list[bool], in_a_row_max: int
) -> None:
    with pytest.raises(
        Fatal, match=rf"({in_a_row_max + 1}|8) .*REJECTED_IN_A_ROW_MAX={in_a_row_max} "
    ) as caught:
        in_a_row(before, batch, in_a_row_max)
    assert "in, partition 0, offset" in str(caught.value)
    assert "STREAM_REJECTED_IN_A_ROW_MAX" in caught.value.hint  # type: ignore[attr-defined]


@given(st.integers(0, 5), BATCHES, st.integers(0, 6))
def test_worker_stops_exactly_when_a_run_of_rejections_exceeds_the_limit(
    before: int, batch: list[bool], in_a_row_max: int
) -> None:
    """Rejections of earlier batches count, too."""
    before = min(before, in_a_row_max) if in_a_row_max else before
    whole = [R] * before + batch
    if in_a_row_max and longest(whole) > in_a_row_max:
        with pytest.raises(Fatal):
            in_a_row(before, batch, in_a_row_max)
    else:
        assert in_a_row(before, batch, in_a_row_max) == trailing(whole)


@given(BATCHES, BATCHES)
def test_rejections_in_a_row_of_two_batches_are_those_of_one(one: list[bool], other: list[bool]) -> None:
    assert in_a_row(in_a_row(0, one, 0), other, 0) == in_a_row(0, one + other, 0)
