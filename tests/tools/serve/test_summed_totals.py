from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.tools.serve.totals import SummedTotals, Total

SIGNATURES = st.sampled_from([b"act", b"dgo", b"eilnst", b"a", b"b", b"c"])
CHANGES = st.lists(
    st.tuples(st.integers(0, 3), st.dictionaries(SIGNATURES, st.integers(1, 10**12), max_size=6)), max_size=12
)


def encoded(changes: dict[bytes, int]) -> dict[bytes, bytes]:
    return {signature: b"%d" % total for signature, total in changes.items()}


@given(CHANGES)
def test_a_total_is_the_sum_of_the_last_totals_of_all_partitions(
    changes: list[tuple[int, dict[bytes, int]]],
) -> None:
    totals = SummedTotals()
    last: dict[int, dict[bytes, int]] = {}
    for partition, changed in changes:
        totals.apply(partition, encoded(changed))
        last.setdefault(partition, {}).update(changed)
    expected: Counter[bytes] = Counter()
    for of_partition in last.values():
        expected.update(of_partition)
    assert {each.encode(): totals.total(each.encode()) for each, _ in totals.top(100)} == dict(expected)
    assert (totals.words, totals.signatures) == (sum(expected.values()), len(expected))
    for signature in (b"act", b"zzz"):
        assert totals.total(signature) == expected[signature]
    in_order = sorted((-total, signature.decode()) for signature, total in expected.items())
    for limit in (1, 2, 10):
        assert totals.top(limit) == [Total(signature, -total) for total, signature in in_order[:limit]]


def test_more_signatures_than_the_arrays_hold_are_kept() -> None:
    totals = SummedTotals()
    for partition in (0, 1):
        for start in range(0, 20_000, 5_000):
            totals.apply(partition, {b"%d" % n: b"1" for n in range(start, start + 5_000)})
    assert totals.words == 40_000
    assert totals.total(b"19999") == 2


def test_changed_since_returns_only_what_changed_later() -> None:
    totals = SummedTotals()
    totals.apply(0, encoded({b"act": 5, b"dgo": 3}))
    version = totals.version
    assert totals.changed_since(version, 10) == []
    totals.apply(1, encoded({b"dgo": 4, b"a": 1}))
    assert totals.changed_since(version, 10) == [Total("dgo", 7), Total("a", 1)]
    assert totals.changed_since(version, 1) == [Total("dgo", 7)]


@pytest.mark.parametrize("value", [b"", b"0", b"-1", b"1.5", b"x", b"01"])
def test_value_that_is_not_a_total_changes_nothing(value: bytes) -> None:
    totals = SummedTotals()
    with pytest.raises(ValueError, match="not a total"):
        totals.apply(0, {b"act": b"1", b"dgo": value})
    assert totals.words == 0
