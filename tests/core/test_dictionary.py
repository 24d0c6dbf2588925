import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.dictionary import AnagramIndex, build_index
from stream.core.signature import signature

ENTRIES = st.lists(
    st.one_of(
        st.text(string.ascii_letters, max_size=4),
        st.text("abcAB-' 1\nä", max_size=4),
        st.text(max_size=4),
    )
)
WORD_LISTS = st.lists(st.text("abc", min_size=1, max_size=4))


def listed(index: AnagramIndex) -> list[str]:
    return sorted(word for group in index.anagrams.values() for word in group)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        " ",
        "co-op",
        "don't",
        "ice cream",
        " cat",
        "cat ",
        "cat\n",
        "4th",
        "naïve",
        "C++",
        "a.m.",
        "\uff43at",
    ],
    ids=ascii,
)
def test_entry_with_another_character_is_dropped_and_not_shortened(entry: str) -> None:
    index = build_index([entry, "dog"])
    assert listed(index) == ["dog"]
    assert (index.words, index.dropped) == (1, 1)
    assert index.digest == build_index(["dog"]).digest


def test_entries_are_lower_cased_and_counted_once() -> None:
    index = build_index(["Cat", "ACT", "cat", "tac"])
    assert index.anagrams == {"act": ("act", "cat", "tac")}
    assert (index.words, index.dropped) == (3, 0)


def test_index_of_an_empty_list_is_empty() -> None:
    index = build_index([])
    assert (dict(index.anagrams), index.words, index.dropped) == ({}, 0, 0)


@given(ENTRIES)
def test_every_word_is_once_in_the_index_under_its_signature(entries: list[str]) -> None:
    index = build_index(entries)
    expected = {entry.lower() for entry in entries}
    kept = {entry for entry in expected if entry and not set(entry) - set(string.ascii_lowercase)}
    assert listed(index) == sorted(kept)
    assert (index.words, index.dropped) == (len(kept), len(expected - kept))
    for key, group in index.anagrams.items():
        assert list(group) == sorted(group)
        assert {signature(word) for word in group} == {key}


@given(st.data(), ENTRIES)
def test_index_does_not_depend_on_order_case_or_duplicates(data: st.DataObject, entries: list[str]) -> None:
    shuffled = data.draw(st.permutations(entries + entries[:3]))
    in_capitals = [entry.upper() if entry.isascii() else entry for entry in shuffled]
    assert build_index(in_capitals) == build_index(entries)


@given(WORD_LISTS, WORD_LISTS)
def test_digests_are_equal_only_for_equal_dictionaries(one: list[str], other: list[str]) -> None:
    assert (build_index(one).digest == build_index(other).digest) == (set(one) == set(other))


def test_digest_is_the_same_in_every_release() -> None:
    """The count topic contains the digest; if it changed for the same words, restarts would be refused."""
    assert build_index(["cat", "act"]).digest == build_index(["act", "cat", "4th"]).digest
    assert build_index(["cat", "act"]).digest == "acc937f94667fee25c24ce90cfbeda26"


def test_index_cannot_be_changed() -> None:
    index = build_index(["cat"])
    with pytest.raises(TypeError):
        index.anagrams["act"] = ()  # type: ignore[index]
    with pytest.raises(AttributeError):
        index.digest = ""  # type: ignore[misc]


def test_default_dictionary_has_the_documented_number_of_words(default_index: AnagramIndex) -> None:
    assert default_index.words == 105_334
    assert default_index.anagrams["act"] == ("act", "cat", "tac")
