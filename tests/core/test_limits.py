from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.limits import rejected_in_a_row
from stream.errors import Fatal

R, OK = True, False
BATCHES = st.lists(st.booleans(), max_size=12)


def longest(batch: list[bool]) -> int:
    return max((len(list(run)) for was_rejected, run in groupby(batch) if was_rejected), default=0)


def trailing(batch: list[bool]) -> int:
    return next((number for number, was in enumerate(reversed(batch)) if not was), len(batch))


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
def test_rejections_in_a_row_go_on_up_to_the_limit(
    before: int, batch: list[bool], in_a_row_max: int, expected: int
) -> None:
    assert rejected_in_a_row(before, batch, in_a_row_max) == expected


@pytest.mark.parametrize(
    ("before", "batch", "in_a_row_max"),
    [(0, [R, R], 1), (3, [R], 3), (0, [OK, R, R, R, R, OK], 3), (2, [R, R, OK], 3), (7, [R], 3)],
)
def test_more_rejections_in_a_row_than_allowed_stop_the_worker(
    before: int, batch: list[bool], in_a_row_max: int
) -> None:
    with pytest.raises(Fatal, match=rf"{in_a_row_max + 1}|8 .*REJECTED_IN_A_ROW_MAX={in_a_row_max} "):
        rejected_in_a_row(before, batch, in_a_row_max)


@given(st.integers(0, 5), BATCHES, st.integers(0, 6))
def test_worker_stops_exactly_where_a_run_exceeds_the_limit(
    before: int, batch: list[bool], in_a_row_max: int
) -> None:
    """The rejections of earlier batches are those that this one begins with."""
    before = min(before, in_a_row_max) if in_a_row_max else before
    whole = [R] * before + batch
    if in_a_row_max and longest(whole) > in_a_row_max:
        with pytest.raises(Fatal):
            rejected_in_a_row(before, batch, in_a_row_max)
    else:
        assert rejected_in_a_row(before, batch, in_a_row_max) == trailing(whole)


@given(BATCHES, BATCHES)
def test_figure_of_two_batches_is_that_of_one(one: list[bool], other: list[bool]) -> None:
    assert rejected_in_a_row(rejected_in_a_row(0, one, 0), other, 0) == rejected_in_a_row(0, one + other, 0)
