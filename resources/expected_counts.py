"""Computes the expected counts of test_cases.json independently of the package, with another algorithm.

It imports nothing from the package. Words are anagrams if each letter occurs equally often in both (compared
as letter tallies, not as sorted strings), and texts are read character by character.

    python resources/expected_counts.py            compare with the file; exit status 1 if it differs
    python resources/expected_counts.py --write    write the counts to the file
"""

import json
import string
import sys
from collections import Counter
from pathlib import Path

from english_words import get_english_words_set

FILE = Path(__file__).with_name("test_cases.json")
KEPT = string.ascii_letters + string.digits

Tally = frozenset[tuple[str, int]]


def tally(word: str) -> Tally:
    """Return how often each letter occurs in the word."""
    return frozenset((letter, word.count(letter)) for letter in set(word))


def tokens_of(text: str) -> list[str]:
    """Return the words of a text; "Use it" in the README has the rule."""
    tokens, word = [], ""
    for character in text:
        if character == "-" or character.isspace():
            if word:
                tokens.append(word)
            word = ""
        elif character in KEPT:
            word += character.lower()
    return [*tokens, word] if word else tokens


def expected_counts(text: str, dictionary: dict[Tally, list[str]]) -> dict[str, int]:
    """Return dictionary word -> number of tokens with its letters."""
    counts: dict[str, int] = {}
    for token, n in Counter(tokens_of(text)).items():
        for word in dictionary.get(tally(token), []):
            counts[word] = counts.get(word, 0) + n
    return dict(sorted(counts.items()))


def read_dictionary() -> dict[Tally, list[str]]:
    """Return letter tally -> words, of the entries of the letters a-z."""
    dictionary: dict[Tally, list[str]] = {}
    for entry in get_english_words_set(["gcide"], lower=True):
        if entry and all(letter in string.ascii_lowercase for letter in entry):
            dictionary.setdefault(tally(entry), []).append(entry)
    return dictionary


def main() -> int:
    """Compare or write the counts; return the exit status."""
    groups = json.loads(FILE.read_text(encoding="utf-8"))
    dictionary = read_dictionary()
    differing = []
    for group, cases in groups.items():
        for case in cases:
            counts = expected_counts(case["text"] * case.get("repeat", 1), dictionary)
            if case.get("expected_counts") != counts:
                differing.append(f"{group}/{case['name']}")
            case["expected_counts"] = counts
    if "--write" in sys.argv[1:]:
        FILE.write_text(json.dumps(groups, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        sys.stdout.write(f"wrote {FILE.name}; changed: {', '.join(differing) or 'none'}\n")
        return 0
    sys.stdout.write(
        f"differ: {', '.join(differing)}\n" if differing else "the expected counts are correct\n"
    )
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
