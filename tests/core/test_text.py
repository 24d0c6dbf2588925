import string
import struct
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.core.text import looks_like_utf16, why_not_utf8, words

SURROGATES = range(0xD800, 0xE000)
CODE_POINTS = [code for code in range(sys.maxunicode + 1) if code not in SURROGATES]
LOWER = dict(
    zip(string.ascii_letters + string.digits, string.ascii_lowercase * 2 + string.digits, strict=True)
)
SEPARATORS = frozenset(chr(code) for code in CODE_POINTS if not chr(code).split()) | {"-"}
BLOCK = 0x4000

# The edge cases of the rule, drawn much more often than from all of Unicode.
CORNERS = st.sampled_from(
    "abzABZ019-- \t\n\r\x0b\x0c\x1c\x1f\x85\xa0\u2028\u3000\u200b\ufeff_'.K\u017fİÄßé\x00\u0301"
)
TEXTS = st.text(st.one_of(CORNERS, CORNERS, st.characters(codec="utf-8")))


def reference(text: str) -> list[str]:
    """Split character by character with a table, independently of the regular expression."""
    tokens = [""]
    for char in text:
        if char in SEPARATORS:
            tokens.append("")
        else:
            tokens[-1] += LOWER.get(char, "")
    return [word for word in tokens if word]


@given(TEXTS)
@example("a-b\u2014c\u00add")
@example("\u212aelvin 212\u212a \u0130stanbul \u017fet")
def test_words_are_those_of_the_reference_over_all_of_unicode(text: str) -> None:
    assert words(text) == reference(text)


def test_every_code_point_is_dropped_kept_or_separates_as_in_the_reference() -> None:
    """Every code point, alone and between letters, compared block by block."""
    for start in range(0, len(CODE_POINTS), BLOCK):
        chars = [chr(code) for code in CODE_POINTS[start : start + BLOCK]]
        text = "\n".join(f"{c} x{c}Y" for c in chars)
        assert words(text) == reference(text), f"in the block from U+{CODE_POINTS[start]:04X}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\n", []),
        ("-", []),
        ("?!", []),
        ("Cat", ["cat"]),
        ("cat cat", ["cat", "cat"]),
        ("well-known", ["well", "known"]),
        ("--a--b--", ["a", "b"]),
        ("don't", ["dont"]),
        ("snake_case", ["snakecase"]),
        ("a , b", ["a", "b"]),
        ("a,b", ["ab"]),
        ("4th of july", ["4th", "of", "july"]),
        ("naïve", ["nave"]),
        ("\u00c4\u00d6", []),
        ("a\u2014b", ["ab"]),
        ("a\u2010b", ["ab"]),
        ("a\u00a0b\u2003c\u3000d", ["a", "b", "c", "d"]),
        ("a\x1cb\x85c", ["a", "b", "c"]),
        ("a\u200bb\ufeffc", ["abc"]),
        ("\u212aat", ["at"]),
        ("\uff43at \u0661\u0662", ["at"]),
    ],
    ids=ascii,
)
def test_words_of_a_text(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(TEXTS)
def test_splitting_words_again_gives_the_same_words(text: str) -> None:
    once = words(text)
    assert words(" ".join(once)) == once
    assert words("-".join(once).upper()) == once


@given(TEXTS, TEXTS)
def test_words_of_two_joined_texts_are_the_words_of_each(one: str, other: str) -> None:
    assert words(f"{one}\n{other}") == words(one) + words(other)


@given(TEXTS)
def test_word_has_only_lower_case_ascii_letters_and_digits(text: str) -> None:
    assert all(word and set(word) <= set(LOWER.values()) for word in words(text))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text", ["naïve café", "Żółć, gęś i jaźń to słowa po polsku", '{"text": "cat"}', "x" * 150 + "ł" * 100]
)
def test_european_text_in_utf_16_is_recognized(text: str, encoding: str) -> None:
    assert looks_like_utf16(text.encode(encoding))


BINARY = {
    "nothing": b"",
    "four bytes": b"\xff\0\0\0",
    "a small number": (200).to_bytes(8, "little"),
    "a small number, big endian": (0xFF00).to_bytes(8, "big"),
    "three small numbers": struct.pack("<3i", 65, 66, 200),
    "small numbers of 16 bits": struct.pack("<20h", *range(-10, 10)),
    "small numbers of 64 bits": struct.pack("<20q", *range(60, 80)),
    "doubles": struct.pack("<20d", *range(20)),
    "zeros": b"\xff" + bytes(99),
    "a gzip header": b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xff\xfe",
    "a PNG header": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01",
    "Latin-1": "naïve café".encode("latin-1"),
    "UTF-16 with an odd byte": "naïve café".encode("utf-16-le") + b"\xff",
    "a mark alone": b"\xff\xfe",
    "a mark and an odd byte": b"\xfe\xff\x01",
}


@pytest.mark.parametrize("value", BINARY.values(), ids=BINARY)
def test_binary_value_is_not_mistaken_for_utf_16(value: bytes) -> None:
    assert not looks_like_utf16(value)
    assert why_not_utf8(value, 0) == "not UTF-8 at byte 0"
