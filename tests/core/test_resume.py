from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.resume import START_OVER, check_digest, resume_offset
from stream.errors import Refused

RESET = "anagram-stream offsets reset --partition 3"
OFFSETS = st.none() | st.integers(0, 2**63 - 1) | st.integers(0, 9)
FEW = (None, 0, 1, 2, 3, 4)


def resume(
    committed: int | None, processed: int | None, first: int, end: int, *, has_totals: bool = False
) -> int:
    return resume_offset(
        "blobs-3",
        committed=committed,
        committed_has_totals=has_totals,
        processed=processed,
        first=first,
        end=end,
        reset_command=RESET,
    )


@pytest.mark.parametrize(
    ("committed", "has_totals", "processed", "first", "end", "expected"),
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
def test_partition_resumes_at_the_committed_offset_else_at_the_first(  # noqa: PLR0913, PLR0917 - a table's columns
    committed: int | None,
    has_totals: bool,  # noqa: FBT001
    processed: int | None,
    first: int,
    end: int,
    expected: int,
) -> None:
    assert resume(committed, processed, first, end, has_totals=has_totals) == expected


@pytest.mark.parametrize(
    ("committed", "has_totals", "processed", "first", "end", "message", "hint"),
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
        (10, False, None, 0, 9, "created again, or its log was truncated", START_OVER),
        (1, True, 1, 0, 0, "beyond the end of the log, 0", START_OVER),
    ],
)
def test_partition_is_refused_if_totals_and_offset_do_not_belong_together(  # noqa: PLR0913, PLR0917 - a table's columns
    committed: int | None,
    has_totals: bool,  # noqa: FBT001
    processed: int | None,
    first: int,
    end: int,
    message: str,
    hint: str,
) -> None:
    with pytest.raises(Refused, match=message) as caught:
        resume(committed, processed, first, end, has_totals=has_totals)
    assert str(caught.value).startswith("blobs-3: ")
    assert hint in caught.value.hint


def holds(committed: int | None, processed: int | None, first: int, end: int, *, has_totals: bool) -> None:
    """Assert the laws of one case."""
    fits = first <= (first if committed is None else committed) <= end
    try:
        offset = resume(committed, processed, first, end, has_totals=has_totals)
    except Refused as refused:
        assert refused.hint  # noqa: PT017 - either outcome is right
        totals_or_offset_lost = committed is None or (has_totals and processed is None)
        assert totals_or_offset_lost or not fits or (processed is not None and committed < processed)  # type: ignore[operator]
        assert (committed, processed) != (None, None)
        return
    assert fits
    assert first <= offset <= end
    assert offset >= (processed or 0)
    assert offset == (first if committed is None else committed)


@given(OFFSETS, OFFSETS, st.integers(0, 9), st.integers(0, 2**63), st.booleans())
def test_offset_is_never_below_the_totals_and_never_outside_the_log(
    committed: int | None,
    processed: int | None,
    first: int,
    length: int,
    has_totals: bool,  # noqa: FBT001
) -> None:
    """A refusal has a cause and a hint."""
    holds(committed, processed, first, first + length, has_totals=has_totals)


def test_laws_hold_for_every_case_of_small_offsets() -> None:
    cases = product(FEW, FEW, range(4), range(3), (False, True))
    for committed, processed, first, length, has_totals in cases:
        holds(committed, processed, first, first + length, has_totals=has_totals)


@pytest.mark.parametrize("recorded", [None, "abc"])
def test_totals_of_the_same_dictionary_or_of_none_are_continued(recorded: str | None) -> None:
    check_digest("blobs-3", recorded, "abc")


@pytest.mark.parametrize("recorded", ["", "abd", "ABC", "abcd"])
def test_totals_of_another_dictionary_are_refused(recorded: str) -> None:
    with pytest.raises(Refused, match=f"digest {recorded}, not abc") as caught:
        check_digest("blobs-3", recorded, "abc")
    assert "STREAM_DICTIONARY" in caught.value.hint
    assert START_OVER in caught.value.hint
