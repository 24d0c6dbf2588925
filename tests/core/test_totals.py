from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.counts import encode_total
from stream.core.decide import fold
from stream.core.lexicon import Ids
from stream.core.totals import SignatureTotals

SIGNATURES = sorted([b"a", b"act", b"dgo", b"eilnst", b"no", b"z" * 40, *(b"x%d" % n for n in range(20))])
STORED = st.dictionaries(st.sampled_from(SIGNATURES), st.integers(1, 2**60))
NUMBERS = st.lists(st.integers(0, len(SIGNATURES) - 1))


def ids(numbers: list[int]) -> list[Ids]:
    """Return pieces of 0, 1, 2, … ids."""
    remaining, pieces = numbers, list[Ids]()
    for size in range(len(numbers) + 1):
        pieces.append(np.array(remaining[:size], np.int32))
        remaining = remaining[size:]
    return pieces


def encoded(totals: dict[bytes, int]) -> dict[bytes, bytes]:
    return {key: encode_total(total) for key, total in totals.items()}


@given(STORED, st.lists(NUMBERS))
def test_totals_equal_the_sum_of_the_applied_changes(
    stored: dict[bytes, int], batches: list[list[int]]
) -> None:
    totals, expected = SignatureTotals(SIGNATURES, encoded(stored).items()), dict(stored)
    for numbers in batches:
        changed = totals.compute_changes(ids(numbers))
        sums = fold(expected, [Counter(SIGNATURES[number] for number in numbers)])
        assert changed.changes == encoded(sums)
        changed.apply()
        expected |= sums


@given(STORED, NUMBERS, NUMBERS)
def test_nothing_changes_before_it_is_applied(
    stored: dict[bytes, int], one: list[int], other: list[int]
) -> None:
    """The changes of an aborted transaction are never applied."""
    totals, untouched = (SignatureTotals(SIGNATURES, encoded(stored).items()) for _ in range(2))
    totals.compute_changes(ids(one))
    assert totals.compute_changes(ids(other)).changes == untouched.compute_changes(ids(other)).changes


@given(st.data(), STORED)
def test_items_are_loaded_in_any_order(data: st.DataObject, stored: dict[bytes, int]) -> None:
    items = data.draw(st.permutations(list(encoded(stored).items())))
    totals = SignatureTotals(SIGNATURES, items)
    every = totals.compute_changes(ids(list(range(len(SIGNATURES))))).changes
    assert every == {key: encode_total(stored.get(key, 0) + 1) for key in SIGNATURES}


@pytest.mark.parametrize("signatures", [[], SIGNATURES])
def test_empty_ids_change_nothing(signatures: list[bytes]) -> None:
    totals = SignatureTotals(signatures, [])
    changed = totals.compute_changes(ids([]))
    assert changed.changes == {}
    changed.apply()


def test_value_that_is_not_a_total_is_refused() -> None:
    with pytest.raises(ValueError, match="not a total"):
        SignatureTotals(SIGNATURES, [(b"act", b"-1")])


@given(STORED)
def test_counted_is_the_number_of_signatures_with_a_total(stored: dict[bytes, int]) -> None:
    assert SignatureTotals(SIGNATURES, encoded(stored).items()).counted == len(stored)


@pytest.mark.parametrize("foreign", [b"abd", b"zzz", b"A"])
def test_key_outside_the_dictionary_is_refused(foreign: bytes) -> None:
    with pytest.raises(ValueError, match="not in the dictionary"):
        SignatureTotals([b"act", b"eilnst"], [(b"act", b"1"), (foreign, b"7")])
