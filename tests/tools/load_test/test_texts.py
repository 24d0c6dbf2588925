from collections import Counter

import pytest

from stream.core.signature import signature
from stream.core.text import words
from stream.tools.load_test.texts import POOL_WORDS_MAX, Recipe, make_recipe, make_texts, synthesize

DICTIONARY = synthesize(2_000, 1)


def test_same_seed_gives_the_same_texts_whatever_the_order_of_the_dictionary() -> None:
    recipe = Recipe(50, 20, 0, 7)
    assert make_texts(DICTIONARY, recipe) == make_texts(sorted(DICTIONARY), recipe)
    assert make_texts(DICTIONARY, recipe) != make_texts(DICTIONARY, Recipe(50, 20, 0, 8))


def test_words_follow_zipf_and_a_tenth_is_altered() -> None:
    occurrences = Counter(
        word for text in make_texts(DICTIONARY, Recipe(1_000, 50, 0, 1)) for word in words(text)
    )
    known = Counter({word: n for word, n in occurrences.items() if word in set(DICTIONARY)})
    share = known.total() / occurrences.total()
    assert 0.87 < share < 0.93
    (_, first), (_, second), *_ = known.most_common()
    assert 1.7 < first / second < 2.5
    assert len(known) > 1_500


def test_vocabulary_limits_the_words_that_occur() -> None:
    texts = make_texts(DICTIONARY, Recipe(1_000, 10, 30, 1))
    assert len({word for text in texts for word in words(text)} & set(DICTIONARY)) == 30


@pytest.mark.parametrize("length", [5, 1_000])
def test_blob_has_about_the_requested_number_of_words(length: int) -> None:
    texts = make_texts(DICTIONARY, Recipe(length, 200, 0, 1))
    mean = sum(len(words(text)) for text in texts) / len(texts)
    assert abs(mean / length - 1) < 0.05


def test_pool_is_bounded_and_never_empty() -> None:
    assert make_recipe(100, 10**6, 0, 1).texts == POOL_WORDS_MAX // 100
    assert make_recipe(100, 7, 0, 1).texts == 7
    assert make_recipe(2 * POOL_WORDS_MAX, 7, 0, 1).texts == 1


def test_synthesized_dictionary_has_distinct_words_and_anagrams() -> None:
    made = synthesize(20_000, 3)
    assert made == synthesize(20_000, 3)
    assert len(set(made)) == 20_000
    assert all(word.isascii() and word.isalpha() and word.islower() for word in made)
    signatures = len(set(map(signature, made)))
    assert 0.78 < signatures / len(made) < 0.92
