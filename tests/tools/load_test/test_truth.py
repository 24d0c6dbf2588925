from collections import Counter

import orjson
from hypothesis import given
from hypothesis import strategies as st
from support.results import Results

from stream.core.decide import Decider
from stream.core.dictionary import build_index
from stream.tools.load_test.texts import Recipe, make_texts, synthesize
from stream.tools.load_test.truth import Truth, source_partition

DICTIONARY = synthesize(500, 1)
INDEX = build_index(DICTIONARY)
RECIPE = Recipe(30, 7, 0, 1)
TEXTS = make_texts(DICTIONARY, RECIPE)
RESULTS = Results(INDEX)


def result(number: int, text: str, partition: int = 3) -> bytes:
    return RESULTS.make(number, text, partition).value or b""


@given(st.integers(0, 40))
def test_words_and_totals_are_those_of_the_blobs_one_by_one(blobs: int) -> None:
    truth = Truth(INDEX, RECIPE)
    decisions = [Decider(INDEX).decide(TEXTS[number % len(TEXTS)]) for number in range(blobs)]
    assert truth.words(blobs) == sum(decision.words for decision in decisions)
    assert truth.totals(blobs) == sum((Counter(decision.deltas) for decision in decisions), Counter[str]())


def test_results_of_the_engine_are_right_for_their_blob_and_for_no_other() -> None:
    truth = Truth(INDEX, RECIPE)
    for _ in range(2):  # the second time what is known is compared
        for number in range(20):
            text = TEXTS[number % len(TEXTS)]
            assert truth.is_right(number, result(number, text))
            assert not truth.is_right(number + 1, result(number, text))


def test_one_count_or_word_more_is_wrong() -> None:
    truth = Truth(INDEX, RECIPE)
    value = result(0, TEXTS[0])
    assert truth.is_right(0, value)
    changed = orjson.loads(value)
    changed["anagram_counts"][next(iter(changed["anagram_counts"]))] += 1
    assert not truth.is_right(0, orjson.dumps(changed))
    changed = orjson.loads(value) | {"words": 1}
    assert not truth.is_right(0, orjson.dumps(changed))
    assert truth.is_right(0, orjson.dumps(orjson.loads(value), option=orjson.OPT_SORT_KEYS))


def test_source_partition_is_read_from_the_end() -> None:
    assert source_partition(result(0, TEXTS[0], partition=12)) == 12


def test_sizes_bound_texts_and_results() -> None:
    truth = Truth(INDEX, RECIPE)
    assert truth.text_bytes_max == max(len(text.encode()) for text in TEXTS)
    assert truth.result_bytes_max >= max(len(Decider(INDEX).decide(text).counts_json) for text in TEXTS)
