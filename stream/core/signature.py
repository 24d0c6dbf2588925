"""Computes the signature of a word."""


def signature(word: str) -> str:
    """Return the word's letters in lower case, sorted: a word and its anagrams have the same signature."""
    return "".join(sorted(word.lower()))
