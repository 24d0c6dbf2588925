"""Word -> signature."""


def signature(word: str) -> str:
    """Return the word's letters, lower-cased and sorted: equal for a word and its anagrams."""
    return "".join(sorted(word.lower()))
