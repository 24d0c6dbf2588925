"""The index of a dictionary: which words share a signature."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType

from stream.core.signature import signature

_DIGEST_CHARS = 32


@dataclass(frozen=True, slots=True)
class AnagramIndex:
    """A dictionary, indexed by signature.

    Attributes:
        anagrams: signature -> its dictionary words, sorted.
        digest: the digest of the words; it does not depend on their order.
        words: number of words.
        dropped: number of entries that contain other characters than the letters a-z.
    """

    anagrams: Mapping[str, tuple[str, ...]]
    digest: str
    words: int
    dropped: int


def build_index(entries: Iterable[str]) -> AnagramIndex:
    """Index the entries that consist of the letters a-z (in any case); drop all others."""
    kept: set[str] = set()
    dropped: set[str] = set()
    for entry in entries:
        lowered = entry.lower()
        (kept if lowered.isascii() and lowered.isalpha() else dropped).add(lowered)  # [a-z]+
    by_signature: dict[str, list[str]] = {}
    words = sorted(kept)
    for word in words:
        by_signature.setdefault(signature(word), []).append(word)
    return AnagramIndex(
        anagrams=MappingProxyType({key: tuple(same) for key, same in by_signature.items()}),
        digest=sha256("\n".join(words).encode()).hexdigest()[:_DIGEST_CHARS],
        words=len(kept),
        dropped=len(dropped),
    )
