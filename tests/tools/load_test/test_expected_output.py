from collections import Counter

import orjson
from hypothesis import given
from hypothesis import strategies as st
from support.results import Results

from stream.core.decide import Decider
from stream.core.dictionary import build_index
from stream.tools.load_test.expected_output import ExpectedOutput, source_partition
from stream.tools.load_test.texts import Recipe, make_texts, synthesize

DICTIONARY = synthesize(500, 1)
INDEX = build_index(DICTIONARY)
RECIPE = Recipe(30, 7, 0, 1)
TEXTS = make_texts(DICTIONARY, RECIPE)
RESULTS = Results(INDEX)


def result(number: int, text: str, partition: int = 3) -> bytes:
    return RESULTS.make(number, text, partition).value or b""


@given(st.integers(0, 40))
def test_words_and_totals_equal_those_of_the_single_blobs(blobs: int) -> None:
    expected = ExpectedOutput(INDEX, RECIPE)
    decisions = [Decider(INDEX).decide(TEXTS[number % len(TEXTS)]) for number in range(blobs)]
    assert expected.words(blobs) == sum(decision.words for decision in decisions)
    assert expected.totals(blobs) == sum((Counter(decision.deltas) for decision in decisions), Counter[str]())


def test_results_of_the_engine_are_right_only_for_their_blob() -> None:
    expected = ExpectedOutput(INDEX, RECIPE)
    for _ in range(2):  # the second time, hashes are compared
        for number in range(20):
            text = TEXTS[number % len(TEXTS)]
            assert expected.is_right(number, result(number, text))
            assert not expected.is_right(number + 1, result(number, text))


def test_result_with_another_count_is_wrong() -> None:
    expected = ExpectedOutput(INDEX, RECIPE)
    value = result(0, TEXTS[0])
    assert expected.is_right(0, value)
    changed = orjson.loads(value)
    changed["anagram_counts"][next(iter(changed["anagram_counts"]))] += 1
    assert not expected.is_right(0, orjson.dumps(changed))
    changed = orjson.loads(value) | {"words": 1}
    assert not expected.is_right(0, orjson.dumps(changed))
    assert expected.is_right(0, orjson.dumps(orjson.loads(value), option=orjson.OPT_SORT_KEYS))


def test_source_partition_is_read_from_the_end() -> None:
    assert source_partition(result(0, TEXTS[0], partition=12)) == 12


def test_sizes_bound_texts_and_results() -> None:
    expected = ExpectedOutput(INDEX, RECIPE)
    assert expected.text_bytes_max == max(len(text.encode()) for text in TEXTS)
    assert expected.result_bytes_max >= max(len(Decider(INDEX).decide(text).counts_json) for text in TEXTS)
