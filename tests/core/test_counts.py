import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.core.counts import decode_total, encode_total, fold, merge

COUNTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 10**20))
DELTAS = st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 9)), max_size=8)


@given(COUNTS, DELTAS)
def test_fold_of_all_is_fold_of_parts(counts: dict[str, int], deltas: list[dict[str, int]]) -> None:
    parts = dict(counts)
    for delta in deltas:
        parts |= fold(parts, [delta])
    assert counts | fold(counts, deltas) == parts


@given(st.data(), COUNTS, DELTAS)
def test_fold_does_not_depend_on_order(
    data: st.DataObject, counts: dict[str, int], deltas: list[dict[str, int]]
) -> None:
    assert fold(counts, data.draw(st.permutations(deltas))) == fold(counts, deltas)


@given(COUNTS, DELTAS)
def test_fold_of_the_merged_is_fold_of_all(counts: dict[str, int], deltas: list[dict[str, int]]) -> None:
    assert fold(counts, [merge(deltas)]) == fold(counts, deltas)


@given(DELTAS, DELTAS)
def test_merge_of_all_is_merge_of_merged_parts(
    one: list[dict[str, int]], other: list[dict[str, int]]
) -> None:
    assert merge([merge(one), merge(other)]) == merge(one + other) == merge(other + one)


@given(DELTAS)
def test_merge_adds_up_and_loses_nothing(deltas: list[dict[str, int]]) -> None:
    merged = merge(deltas)
    assert merged == {key: sum(d.get(key, 0) for d in deltas) for key in {key for d in deltas for key in d}}


@given(COUNTS, DELTAS)
def test_fold_gives_only_the_signatures_touched_and_totals_grow(
    counts: dict[str, int], deltas: list[dict[str, int]]
) -> None:
    totals = fold(counts, deltas)
    assert set(totals) == {key for delta in deltas for key in delta}
    assert all(total > counts.get(key, 0) >= 0 for key, total in totals.items())


@given(COUNTS, DELTAS)
def test_fold_changes_neither_counts_nor_deltas(counts: dict[str, int], deltas: list[dict[str, int]]) -> None:
    before = (dict(counts), [dict(delta) for delta in deltas])
    fold(counts, deltas)
    assert (counts, deltas) == before


@given(st.integers(1, 10**40))
def test_total_survives_encoding(total: int) -> None:
    assert decode_total(encode_total(total)) == total
    assert encode_total(total) == str(total).encode()


@pytest.mark.parametrize("total", [0, -1])
def test_only_positive_totals_are_encoded(total: int) -> None:
    with pytest.raises(AssertionError):
        encode_total(total)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" 1",
        b"1 ",
        b"1\n",
        b"-1",
        b"+1",
        b"1_0",
        b"1.0",
        b"1e3",
        b"x",
        b"\x00",
        b"\xff",
        "\u0663".encode(),
    ],
)
def test_bytes_that_are_no_total_are_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="not a total"):
        decode_total(value)


@given(st.binary(max_size=12))
@example(b"0")
@example(b"007")
def test_any_bytes_are_a_total_as_encode_writes_it_or_refused(value: bytes) -> None:
    try:
        total = decode_total(value)
    except ValueError:
        return
    assert encode_total(total) == value
