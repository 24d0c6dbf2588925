"""The texts of a load test, from a seed; they are the same on every machine.

Words follow Zipf's law over the shuffled dictionary. A tenth of them are altered as in real text: typos,
numbers, hyphens, punctuation, foreign letters. Others are capitalized or followed by punctuation.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

ZIPF = 1.05
ALTERED = 0.10
POOL_WORDS_MAX = 1_000_000  # words of all distinct texts; a longer load repeats the texts
_ANAGRAMS = 0.15  # share of anagrams in a synthesized dictionary, as in the real one
_LETTERS = "etaoinshrdlcumwfgypbvkjxqz"
_FREQUENCIES = (
    127, 91, 82, 75, 70, 67, 63, 61, 60, 43, 40, 28, 28, 24, 24, 22, 20, 20, 19, 15, 10, 8, 2, 2, 1, 1,
)  # fmt: skip
_LENGTHS = range(4, 15)
_LENGTH_WEIGHTS = (4, 7, 10, 13, 15, 15, 13, 10, 7, 4, 2)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Determines a pool of texts, together with the dictionary.

    Attributes:
        words_per_blob: before the alterations; a hyphen splits a word, punctuation alone is not a word.
        texts: number of distinct texts.
        vocabulary: number of dictionary words that occur; 0: all.
    """

    words_per_blob: int
    texts: int
    vocabulary: int
    seed: int


def make_recipe(words_per_blob: int, blobs: int, vocabulary: int, seed: int) -> Recipe:
    """Return the recipe of a load with this many blobs."""
    return Recipe(words_per_blob, max(1, min(blobs, POOL_WORDS_MAX // words_per_blob)), vocabulary, seed)


def make_texts(words: Sequence[str], recipe: Recipe) -> list[str]:
    """Return the distinct texts; `words` are those of the dictionary, in any order."""
    rng = np.random.default_rng([recipe.seed, recipe.words_per_blob])
    chosen = np.array(sorted(words), np.object_)
    rng.shuffle(chosen)
    chosen = chosen[: recipe.vocabulary or None]
    shares = np.arange(1, len(chosen) + 1, dtype=float) ** -ZIPF
    ends = np.cumsum(shares / shares.sum())
    return [_text(rng, chosen, ends, recipe.words_per_blob) for _ in range(recipe.texts)]


def _text(
    rng: np.random.Generator, words: npt.NDArray[np.object_], ends: npt.NDArray[np.float64], length: int
) -> str:
    ranks = np.minimum(np.searchsorted(ends, rng.random(length)), len(words) - 1)
    drawn: list[str] = words[ranks].tolist()
    dice = rng.random(length)
    changed = np.flatnonzero((dice < ALTERED) | (dice > 1 - 2 * ALTERED))
    for position, thrown in zip(changed.tolist(), dice[changed].tolist(), strict=True):
        if thrown < ALTERED:
            drawn[position] = _altered(drawn[position], thrown / ALTERED)
        elif thrown > 1 - ALTERED:
            drawn[position] = drawn[position].capitalize()
        else:
            drawn[position] += ",.;!?"[int(thrown * 1_000) % 5]
    return " ".join(drawn)


def _altered(word: str, dice: float) -> str:
    if dice < 0.4:  # noqa: PLR2004 - cumulated shares
        return f"{word}qz"
    if dice < 0.7:  # noqa: PLR2004
        return str(int(dice * 1e6))
    if dice < 0.8:  # noqa: PLR2004
        return f"{word}-{word[:2]}xq"
    if dice < 0.9:  # noqa: PLR2004
        return "--" if int(dice * 1_000) % 2 else "&"
    return f"\N{LATIN SMALL LETTER E WITH ACUTE}{word}jjq"


def synthesize(words: int, seed: int) -> list[str]:
    """Return a dictionary with this many distinct words, with anagrams as often as in a real one."""
    rng = random.Random(seed)  # noqa: S311 - repeatable, not secret
    made: dict[str, None] = {}
    order: list[str] = []
    while len(order) < words:  # ends: there are 26**14 words, and more than one in 26**4 is new
        if order and rng.random() < _ANAGRAMS:
            letters = list(rng.choice(order))
            rng.shuffle(letters)
        else:
            (length,) = rng.choices(_LENGTHS, _LENGTH_WEIGHTS)
            letters = rng.choices(_LETTERS, _FREQUENCIES, k=length)
        word = "".join(letters)
        if word not in made:
            made[word] = None
            order.append(word)
    return order
