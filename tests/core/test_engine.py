from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.core import engine as engine_module
from stream.core import spelling as spelling_module
from stream.core.decide import Decider
from stream.core.dictionary import AnagramIndex, build_index
from stream.core.engine import Engine
from stream.core.lexicon import make_lexicon
from stream.core.spelling import EXACT_MAX

LONG = "antidisestablishmentarianism"
INDEX = build_index(
    [
        *("cat", "act", "tac", "dog", "god", "a", "i", "no", "on", "listen", "silent", "k"),
        *(LONG, LONG[::-1], "b" * EXACT_MAX, "b" * (EXACT_MAX + 1), "ab" * 11, "ab" * 12),
    ]
)
WORDS = st.sampled_from(
    [
        *("cat", "Act", "TAC", "dog", "no-on", "c-a-t", "x1", "ca1t", "I", "silent.", "ca\u212a", "c\x1cat"),
        *("é", "cat\u3000dog", "cat\x85", "c\u1680at", "ca\xa0t", "c\u200bat", LONG, LONG.upper(), LONG[1:]),
        *(LONG + "1", "b" * 22, "b" * 23, "b" * 24, "ba" * 11, "ba" * 12, "a" * 23, "a" * 22 + "1"),
    ]
)
TEXTS = st.one_of(
    st.text(),
    st.text(st.characters(max_codepoint=127)),
    st.lists(WORDS).map(" ".join),
    st.lists(WORDS).map("".join),
)
ENTRIES = st.lists(st.text("abz", min_size=1, max_size=3) | st.text("ayz", min_size=20, max_size=25))
SPACES = [chr(code) for code in range(0x110000) if chr(code).isspace()]


def engine_of(index: AnagramIndex) -> Engine:
    return Engine(make_lexicon(index))


def assert_equal_to_the_definition(engine: Engine, index: AnagramIndex, texts: Sequence[str]) -> None:
    """Compare the JSON byte for byte, the words, and the increase of each signature's total."""
    counted = engine.count([text.encode() for text in texts])
    decisions = [Decider(index).decide(text) for text in texts]
    assert counted.counts_json == [decision.counts_json for decision in decisions]
    assert counted.words == [decision.words for decision in decisions]
    increases = Counter(engine.signatures[number].decode() for number in counted.ids)
    assert increases == sum((Counter(decision.deltas) for decision in decisions), Counter[str]())


@given(st.lists(TEXTS, max_size=4), st.lists(TEXTS, max_size=4))
@example([], ["", "", "cat", ""])
@example(["cat" * 9_000], ["cat " * 9_000, "dog"])
def test_engine_equals_the_definition_over_all_of_unicode(one: list[str], other: list[str]) -> None:
    """The memo of an engine changes no result of a later text."""
    engine = engine_of(INDEX)
    for texts in (one, other, one):
        assert_equal_to_the_definition(engine, INDEX, texts)


@given(ENTRIES, st.data())
@example(["b"], None)
def test_engine_equals_the_definition_with_any_dictionary(
    entries: list[str], data: st.DataObject | None
) -> None:
    index, alphabet = build_index(entries), "abyz 1"
    near = st.sampled_from(["a" * 23, "a" * 22, "z" * 23, "n" * 23, *entries, *(w[::-1] for w in entries)])
    texts = st.lists(st.lists(near | st.text(alphabet, max_size=26)).map(" ".join), max_size=4)
    drawn = ["a" * 23, "m" * 23, "1" * 23, "b"] if data is None else data.draw(texts)
    assert_equal_to_the_definition(engine_of(index), index, drawn)


def test_signatures_are_those_of_the_dictionary_in_order() -> None:
    assert engine_of(INDEX).signatures == sorted(key.encode() for key in INDEX.anagrams)


@pytest.mark.parametrize("texts", [[], [""], ["", f"a b {LONG}"]])
@pytest.mark.parametrize("entries", [[], [LONG], ["b"]])
def test_engine_equals_the_definition_with_the_smallest_dictionaries(
    entries: list[str], texts: list[str]
) -> None:
    """Dictionaries with no word, with only a long word, and with one short word."""
    index = build_index(entries)
    assert_equal_to_the_definition(engine_of(index), index, texts)


def test_every_word_of_the_default_dictionary_is_found(default_index: AnagramIndex) -> None:
    """Words are on every level of the table, and none is mistaken for another one."""
    engine = engine_of(default_index)
    keys = list(default_index.anagrams)
    counted = engine.count([" ".join(keys).encode(), " ".join(key + "1" for key in keys).encode()])
    assert sorted(counted.ids.tolist()) == list(range(len(keys)))
    assert counted.words == [len(keys), len(keys)]
    assert_equal_to_the_definition(engine, default_index, [" ".join(keys[:500]), " ".join(keys[-500:])])


def test_engine_equals_the_definition_for_every_ascii_character() -> None:
    characters = [chr(code) for code in range(128)]
    texts = [f"ca{character}t {character} {character}dog{character}" for character in characters]
    assert_equal_to_the_definition(engine_of(INDEX), INDEX, texts)


def test_engine_splits_at_every_unicode_whitespace_and_at_no_similar_character() -> None:
    """Similar: the first or last bytes are equal. Each character also occurs in a row and at the end."""
    near = {
        space[:-1] + chr(ord(space[-1]) + step) for space in SPACES for step in range(-65, 66) if space > "@"
    }
    near = {char for char in near if not 0xD800 <= ord(char) <= 0xDFFF}
    assert len(near) > 200
    texts = [f"cat{char}dog {char}no{char}{char}{'on'}{char}" for char in sorted(near | set(SPACES))]
    assert_equal_to_the_definition(engine_of(INDEX), INDEX, texts)
    assert engine_of(INDEX).count([f"cat{space}dog".encode() for space in SPACES]).words == [2] * len(SPACES)


@pytest.mark.parametrize("letter", "abmnoyz")
@pytest.mark.parametrize("length", [EXACT_MAX - 1, EXACT_MAX, EXACT_MAX + 1, 2 * (EXACT_MAX + 1), 300])
def test_equal_letters_do_not_overflow_into_another_word(letter: str, length: int) -> None:
    """In base 23, 23 `a` have the value of one `b`, and 23 `z` have the value of one digit."""
    neighbors = [chr(ord(letter) + 1) if letter != "z" else "a", letter, letter * EXACT_MAX, letter * 23]
    index = build_index([*neighbors, "n" * 2, letter + "b"])
    texts = [letter * length, letter * length + "b", "1" * length, letter * length + " " + neighbors[0]]
    assert_equal_to_the_definition(engine_of(index), index, texts)


@pytest.mark.parametrize("block", [1, 2, 7])
@pytest.mark.parametrize("group", [1, 10, 1 << 18])
def test_boundaries_of_blocks_and_groups_change_nothing(
    monkeypatch: pytest.MonkeyPatch, block: int, group: int
) -> None:
    monkeypatch.setattr(spelling_module, "_BLOCK", block)
    monkeypatch.setattr(engine_module, "GROUP_BYTES", group)
    texts = ["", "cat", "a dog, no cat", "x" * 20, "listen i\u3000on", f"{LONG} k", "", "1a a-i", "b" * 22]
    engine = engine_of(INDEX)
    assert_equal_to_the_definition(engine, INDEX, texts)
    assert_equal_to_the_definition(engine, INDEX, [" ".join(texts)] * 3)


def test_more_texts_than_fit_into_a_pair_are_counted_in_groups() -> None:
    """A large dictionary leaves few bits for the number of the text."""
    engine = engine_of(INDEX)
    assert engine._texts_max << engine._bits < 2**31
    engine._bits, engine._texts_max = 29, 3
    assert_equal_to_the_definition(
        engine, INDEX, ["cat", "dog cat", "", "no on", "act", "i", "cat", "a", "k"]
    )


def test_longest_exact_word_fits_in_64_bits() -> None:
    assert EXACT_MAX * int(spelling_module._VALUES.max()) < 2**64


def test_no_run_of_equal_letters_is_counted_as_another_word() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    index = build_index(list(letters))
    words = [letter * n for letter in letters + "1" for n in range(1, 2 * EXACT_MAX + 4)]
    assert_equal_to_the_definition(engine_of(index), index, [" ".join(words), *words])


def test_full_memo_is_cleared_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "PIECES_MAX", 2)
    engine = engine_of(INDEX)
    for _ in range(2):
        assert_equal_to_the_definition(
            engine, INDEX, ["cat cat dog god i i i", "no on on a a a a zz zz cat act"]
        )
    assert len(engine._many) <= 2
