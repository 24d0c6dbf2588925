"""The texts of a benchmark, from a seed: the same on every machine.

Words follow Zipf's law over the shuffled dictionary, a tenth of them spoilt as in real text: typos, numbers,
hyphens, marks, foreign letters; some are capitalised or followed by a mark.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

ZIPF = 1.05
SPOILT = 0.10
POOL_WORDS_MAX = 1_000_000  # distinct texts have so many words in all; longer loads send them again
_ANAGRAMS = 0.15  # of a synthesised dictionary: the share of the real one
_LETTERS = "etaoinshrdlcumwfgypbvkjxqz"
_FREQUENCIES = (
    127, 91, 82, 75, 70, 67, 63, 61, 60, 43, 40, 28, 28, 24, 24, 22, 20, 20, 19, 15, 10, 8, 2, 2, 1, 1,
)  # fmt: skip
_LENGTHS = range(4, 15)
_LENGTH_WEIGHTS = (4, 7, 10, 13, 15, 15, 13, 10, 7, 4, 2)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What makes a pool of texts, besides the dictionary.

    Attributes:
        words_per_blob: before spoiling; a hyphen makes two of one, a mark alone is none.
        texts: distinct ones.
        vocabulary: how many of the dictionary's words occur; 0: all.
    """

    words_per_blob: int
    texts: int
    vocabulary: int
    seed: int


def make_recipe(words_per_blob: int, blobs: int, vocabulary: int, seed: int) -> Recipe:
    """Return the recipe of a load of so many blobs."""
    return Recipe(words_per_blob, max(1, min(blobs, POOL_WORDS_MAX // words_per_blob)), vocabulary, seed)


def make_texts(words: Sequence[str], recipe: Recipe) -> list[str]:
    """Return the distinct texts; `words` are the dictionary's, in any order."""
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
    changed = np.flatnonzero((dice < SPOILT) | (dice > 1 - 2 * SPOILT))
    for at, thrown in zip(changed.tolist(), dice[changed].tolist(), strict=True):
        if thrown < SPOILT:
            drawn[at] = _spoilt(drawn[at], thrown / SPOILT)
        elif thrown > 1 - SPOILT:
            drawn[at] = drawn[at].capitalize()
        else:
            drawn[at] += ",.;!?"[int(thrown * 1_000) % 5]
    return " ".join(drawn)


def _spoilt(word: str, dice: float) -> str:
    if dice < 0.4:  # noqa: PLR2004 - shares, which add up here
        return f"{word}qz"
    if dice < 0.7:  # noqa: PLR2004
        return str(int(dice * 1e6))
    if dice < 0.8:  # noqa: PLR2004
        return f"{word}-{word[:2]}xq"
    if dice < 0.9:  # noqa: PLR2004
        return "--" if int(dice * 1_000) % 2 else "&"
    return f"\N{LATIN SMALL LETTER E WITH ACUTE}{word}jjq"


def synthesize(words: int, seed: int) -> list[str]:
    """Return a dictionary of so many distinct words, with anagrams as often as in a real one."""
    rng = random.Random(seed)  # noqa: S311 - to be repeated
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
