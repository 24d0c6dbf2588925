from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.resume import START_OVER, check_dictionary, resume_offset
from stream.errors import Refused

RESET = "anagram-stream offsets reset --partition 3"
OFFSETS = st.none() | st.integers(0, 2**63 - 1) | st.integers(0, 9)
FEW = (None, 0, 1, 2, 3, 4)


def resume(
    committed: int | None, counted_to: int | None, first: int, end: int, *, counted: bool = False
) -> int:
    return resume_offset(
        "blobs-3",
        committed=committed,
        committed_counted=counted,
        counted_to=counted_to,
        first=first,
        end=end,
        reset_command=RESET,
    )


@pytest.mark.parametrize(
    ("committed", "counted", "counted_to", "first", "end", "expected"),
    [
        (None, False, None, 0, 0, 0),
        (None, False, None, 0, 9, 0),
        (None, False, None, 5, 9, 5),
        (0, False, None, 0, 9, 0),
        (4, False, None, 0, 9, 4),
        (4, True, 4, 0, 9, 4),
        (4, False, 4, 0, 9, 4),
        (6, True, 4, 0, 9, 6),
        (5, True, 5, 5, 9, 5),
        (9, True, 9, 0, 9, 9),
        (9, True, 3, 9, 9, 9),
        (6, True, 2, 5, 9, 6),
    ],
)
def test_partition_goes_on_where_the_group_committed_else_at_the_first(  # noqa: PLR0913, PLR0917 - a table's columns
    committed: int | None,
    counted: bool,  # noqa: FBT001
    counted_to: int | None,
    first: int,
    end: int,
    expected: int,
) -> None:
    assert resume(committed, counted_to, first, end, counted=counted) == expected


@pytest.mark.parametrize(
    ("committed", "counted", "counted_to", "first", "end", "says", "hint"),
    [
        (None, False, 4, 0, 9, "no committed offset", START_OVER),
        (None, False, 0, 0, 9, "no committed offset", START_OVER),
        (4, True, None, 0, 9, "the count topic has none", START_OVER),
        (0, True, None, 0, 9, "the count topic has none", START_OVER),
        (3, True, 4, 0, 9, "would count twice", START_OVER),
        (0, False, 4, 0, 9, "would count twice", START_OVER),
        (3, True, 4, 5, 9, "would count twice", START_OVER),
        (4, True, 4, 6, 9, "2 offsets were never counted", RESET),
        (4, False, None, 6, 9, "begins at 6", RESET),
        (10, True, 10, 0, 9, "beyond the end of the log, 9", START_OVER),
        (10, False, None, 0, 9, "made anew or cut", START_OVER),
        (1, True, 1, 0, 0, "beyond the end of the log, 0", START_OVER),
    ],
)
def test_partition_is_refused_where_going_on_would_miscount(  # noqa: PLR0913, PLR0917 - a table's columns
    committed: int | None,
    counted: bool,  # noqa: FBT001
    counted_to: int | None,
    first: int,
    end: int,
    says: str,
    hint: str,
) -> None:
    with pytest.raises(Refused, match=says) as caught:
        resume(committed, counted_to, first, end, counted=counted)
    assert str(caught.value).startswith("blobs-3: ")
    assert hint in caught.value.hint


def holds(committed: int | None, counted_to: int | None, first: int, end: int, *, counted: bool) -> None:
    """Assert the laws of one case."""
    fits = first <= (first if committed is None else committed) <= end
    try:
        offset = resume(committed, counted_to, first, end, counted=counted)
    except Refused as why:
        assert why.hint  # noqa: PT017 - either outcome is right
        forgotten = committed is None or (counted and counted_to is None)
        assert forgotten or not fits or (counted_to is not None and committed < counted_to)  # type: ignore[operator]
        assert (committed, counted_to) != (None, None)
        return
    assert fits
    assert first <= offset <= end
    assert offset >= (counted_to or 0)
    assert offset == (first if committed is None else committed)


@given(OFFSETS, OFFSETS, st.integers(0, 9), st.integers(0, 2**63), st.booleans())
def test_offset_is_never_below_what_is_counted_and_never_outside_the_log(
    committed: int | None,
    counted_to: int | None,
    first: int,
    length: int,
    counted: bool,  # noqa: FBT001
) -> None:
    """And a refusal has a cause and says what fixes it."""
    holds(committed, counted_to, first, first + length, counted=counted)


def test_laws_hold_for_every_case_of_small_offsets() -> None:
    for committed, counted_to, first, length, counted in product(FEW, FEW, range(4), range(3), (False, True)):
        holds(committed, counted_to, first, first + length, counted=counted)


@pytest.mark.parametrize("counted_with", [None, "abc"])
def test_totals_of_our_dictionary_or_of_none_go_on(counted_with: str | None) -> None:
    check_dictionary("blobs-3", counted_with, "abc")


@pytest.mark.parametrize("counted_with", ["", "abd", "ABC", "abcd"])
def test_totals_of_another_dictionary_are_refused(counted_with: str) -> None:
    with pytest.raises(Refused, match=f"digest {counted_with}, ours abc") as caught:
        check_dictionary("blobs-3", counted_with, "abc")
    assert "STREAM_DICTIONARY" in caught.value.hint
    assert START_OVER in caught.value.hint
