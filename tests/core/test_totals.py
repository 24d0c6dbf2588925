from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.counts import encode_total
from stream.core.decide import fold
from stream.core.lexicon import Ids
from stream.core.totals import Totals, largest

SIGNATURES = sorted([b"a", b"act", b"dgo", b"eilnst", b"no", b"z" * 40])
STORED = st.dictionaries(st.sampled_from(SIGNATURES), st.integers(1, 2**60))
NUMBERS = st.lists(st.integers(0, len(SIGNATURES) - 1))


def ids(numbers: list[int]) -> list[Ids]:
    """In pieces of 0, 1, 2, … words."""
    left, pieces = numbers, list[Ids]()
    for size in range(len(numbers) + 1):
        pieces.append(np.array(left[:size], np.int32))
        left = left[size:]
    return pieces


def encoded(totals: dict[bytes, int]) -> dict[bytes, bytes]:
    return {key: encode_total(total) for key, total in totals.items()}


@given(STORED, st.lists(NUMBERS))
def test_totals_are_the_fold_of_what_was_taken(stored: dict[bytes, int], batches: list[list[int]]) -> None:
    totals, expected = Totals(SIGNATURES, encoded(stored).items()), dict(stored)
    for numbers in batches:
        grown = totals.grow(ids(numbers))
        changed = fold(expected, [Counter(SIGNATURES[number] for number in numbers)])
        assert totals.encode(grown) == encoded(changed)
        totals.take(grown)
        expected |= changed


@given(STORED, NUMBERS, NUMBERS)
def test_nothing_changes_before_it_is_taken(
    stored: dict[bytes, int], one: list[int], other: list[int]
) -> None:
    """An aborted transaction is one whose totals are not taken."""
    totals, untouched = (Totals(SIGNATURES, encoded(stored).items()) for _ in range(2))
    aborted = totals.grow(ids(one))
    totals.encode(aborted)
    assert totals.encode(totals.grow(ids(other))) == untouched.encode(untouched.grow(ids(other)))


@given(st.data(), STORED)
def test_items_are_loaded_in_any_order(data: st.DataObject, stored: dict[bytes, int]) -> None:
    items = data.draw(st.permutations(list(encoded(stored).items())))
    totals = Totals(SIGNATURES, items)
    every = totals.encode(totals.grow(ids(list(range(len(SIGNATURES))))))
    assert every == {key: encode_total(stored.get(key, 0) + 1) for key in SIGNATURES}


@pytest.mark.parametrize("signatures", [[], SIGNATURES])
def test_no_words_change_nothing(signatures: list[bytes]) -> None:
    totals = Totals(signatures, [])
    grown = totals.grow(ids([]))
    assert totals.encode(grown) == {}
    totals.take(grown)


def test_bytes_that_are_no_total_are_refused() -> None:
    with pytest.raises(ValueError, match="not a total"):
        Totals(SIGNATURES, [(b"act", b"-1")])


@given(
    st.lists(st.dictionaries(st.integers(0, 9), st.integers(1, 10**12)), max_size=4),
    st.integers(0, 12),
)
def test_largest_are_those_of_the_sums_over_partitions(stored: list[dict[int, int]], number: int) -> None:
    signatures = [b"%c" % (ord("a") + n) for n in range(10)]
    parts = [
        Totals(signatures, [(signatures[n], b"%d" % total) for n, total in each.items()]) for each in stored
    ]
    summed: dict[bytes, int] = {}
    for each in stored:
        for n, total in each.items():
            summed[signatures[n]] = summed.get(signatures[n], 0) + total
    found = largest(parts, number)
    assert list(found.values()) == sorted(summed.values(), reverse=True)[:number]
    assert all(summed[key] == total for key, total in found.items())
    assert [part.counted for part in parts] == [len(each) for each in stored]


@pytest.mark.parametrize("foreign", [b"abd", b"zzz", b"A"])
def test_what_is_no_signature_of_the_dictionary_is_not_put_on_its_neighbour(foreign: bytes) -> None:
    with pytest.raises(ValueError, match="not in the dictionary"):
        Totals([b"act", b"eilnst"], [(b"act", b"1"), (foreign, b"7")])
