import string
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from stream.core.signature import signature

WORDS = st.text(string.ascii_letters + string.digits)


@given(st.data(), WORDS)
def test_signature_is_equal_for_every_shuffle(data: st.DataObject, word: str) -> None:
    shuffled = "".join(data.draw(st.permutations(word)))
    assert signature(shuffled) == signature(word)


@given(WORDS)
def test_signature_ignores_case(word: str) -> None:
    assert signature(word.upper()) == signature(word.lower()) == signature(word)


@given(st.text("abAB", max_size=6), st.text("abAB", max_size=6))
def test_signatures_are_equal_only_for_the_same_letters_with_the_same_frequencies(
    one: str, other: str
) -> None:
    assert (signature(one) == signature(other)) == (Counter(one.lower()) == Counter(other.lower()))


@given(WORDS)
def test_signature_of_a_signature_is_itself(word: str) -> None:
    assert signature(signature(word)) == signature(word)
