import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.decide import Decider, Decision, fold, merge
from stream.core.dictionary import AnagramIndex, build_index
from stream.core.signature import signature
from stream.core.text import words

LETTERS = "abcAB"
ENTRIES = st.lists(st.text("abc", min_size=1, max_size=3), max_size=12)
TOTALS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 10**20))
DELTAS = st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 9)), max_size=8)
TEXTS = st.text(LETTERS + "  -1,ä", max_size=40)


def reference(text: str, entries: list[str]) -> dict[str, int]:
    """Compare every token with every dictionary word."""
    counts: Counter[str] = Counter()
    for token in words(text):
        for word in set(entries):
            counts[word] += sorted(word) == sorted(token)
    return dict(+counts)


@given(TEXTS, ENTRIES)
def test_every_dictionary_word_counts_once_per_token_of_its_signature(text: str, entries: list[str]) -> None:
    decision = Decider(build_index(entries)).decide(text)
    assert decision.anagram_counts == reference(text, entries)
    assert decision.words == len(words(text))


@given(TEXTS, ENTRIES)
def test_counts_and_deltas_agree(text: str, entries: list[str]) -> None:
    index = build_index(entries)
    decision = Decider(index).decide(text)
    assert set(decision.deltas) <= set(index.anagrams)
    assert all(increase > 0 for increase in decision.deltas.values())
    assert decision.anagram_counts == {
        word: increase for key, increase in decision.deltas.items() for word in index.anagrams[key]
    }
    assert sum(decision.deltas.values()) <= decision.words


@given(TEXTS, TEXTS, ENTRIES)
def test_deltas_of_a_text_are_the_sum_of_those_of_its_parts(one: str, other: str, entries: list[str]) -> None:
    decider = Decider(build_index(entries))
    whole = decider.decide(f"{one} {other}")
    assert whole.deltas == merge([decider.decide(one).deltas, decider.decide(other).deltas])


@given(st.data(), TEXTS, ENTRIES)
def test_json_of_the_counts_does_not_depend_on_the_order_of_the_words(
    data: st.DataObject, text: str, entries: list[str]
) -> None:
    decider = Decider(build_index(entries))
    shuffled = " ".join(data.draw(st.permutations(words(text))))
    assert json.dumps(decider.decide(shuffled).anagram_counts) == json.dumps(
        decider.decide(text).anagram_counts
    )


@given(st.lists(TEXTS), ENTRIES)
def test_decision_does_not_depend_on_earlier_decisions(texts: list[str], entries: list[str]) -> None:
    """Compare a memo that is always full, one that is never full, and an empty one."""
    index = build_index(entries)

    class Forgetful(Decider):
        MEMO_WORDS_MAX = 2

    forgetful, lasting = Forgetful(index), Decider(index)
    for text in texts:
        fresh = Decider(index).decide(text)
        assert forgetful.decide(text) == lasting.decide(text) == fresh
        assert len(forgetful._memo) <= Forgetful.MEMO_WORDS_MAX


@pytest.mark.parametrize(
    ("text", "counts", "tokens"),
    [
        ("", {}, 0),
        ("?!", {}, 0),
        ("cat", {"act": 1, "cat": 1, "tac": 1}, 1),
        ("CAT", {"act": 1, "cat": 1, "tac": 1}, 1),
        ("tca", {"act": 1, "cat": 1, "tac": 1}, 1),
        ("cat act", {"act": 2, "cat": 2, "tac": 2}, 2),
        ("Cat-cat, cat!", {"act": 3, "cat": 3, "tac": 3}, 3),
        ("cat5", {}, 1),
        ("123 xqzv", {}, 2),
    ],
)
def test_counts_with_the_default_dictionary(
    default_index: AnagramIndex, text: str, counts: dict[str, int], tokens: int
) -> None:
    decision = Decider(default_index).decide(text)
    deltas = {signature("cat"): counts["cat"]} if counts else {}
    assert decision == Decision(counts, deltas, tokens)


@given(TOTALS, DELTAS)
def test_fold_of_all_is_fold_of_parts(totals: dict[str, int], deltas: list[dict[str, int]]) -> None:
    parts = dict(totals)
    for delta in deltas:
        parts |= fold(parts, [delta])
    assert totals | fold(totals, deltas) == parts


@given(st.data(), TOTALS, DELTAS)
def test_fold_does_not_depend_on_order(
    data: st.DataObject, totals: dict[str, int], deltas: list[dict[str, int]]
) -> None:
    assert fold(totals, data.draw(st.permutations(deltas))) == fold(totals, deltas)


@given(TOTALS, DELTAS)
def test_fold_of_merged_deltas_is_fold_of_all(totals: dict[str, int], deltas: list[dict[str, int]]) -> None:
    assert fold(totals, [merge(deltas)]) == fold(totals, deltas)


@given(DELTAS, DELTAS)
def test_merge_of_all_is_merge_of_merged_parts(
    one: list[dict[str, int]], other: list[dict[str, int]]
) -> None:
    assert merge([merge(one), merge(other)]) == merge(one + other) == merge(other + one)


@given(DELTAS)
def test_merge_is_the_sum_of_the_deltas(deltas: list[dict[str, int]]) -> None:
    merged = merge(deltas)
    assert merged == {key: sum(d.get(key, 0) for d in deltas) for key in {key for d in deltas for key in d}}


@given(TOTALS, DELTAS)
def test_fold_returns_only_the_changed_signatures_with_greater_totals(
    totals: dict[str, int], deltas: list[dict[str, int]]
) -> None:
    changed = fold(totals, deltas)
    assert set(changed) == {key for delta in deltas for key in delta}
    assert all(total > totals.get(key, 0) >= 0 for key, total in changed.items())


@given(TOTALS, DELTAS)
def test_fold_changes_neither_totals_nor_deltas(totals: dict[str, int], deltas: list[dict[str, int]]) -> None:
    before = (dict(totals), [dict(delta) for delta in deltas])
    fold(totals, deltas)
    assert (totals, deltas) == before
