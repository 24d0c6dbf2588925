"""Words -> index: which dictionary words share a signature."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType

from stream.core.signature import signature

_DIGEST_CHARS = 32


@dataclass(frozen=True, slots=True)
class AnagramIndex:
    """A dictionary, ready for counting.

    Attributes:
        anagrams: signature -> its dictionary words, sorted.
        digest: of the words; equal for equal dictionaries, whatever their order.
        words: how many were kept.
        dropped: how many entries were not of the letters a-z alone.
    """

    anagrams: Mapping[str, tuple[str, ...]]
    digest: str
    words: int
    dropped: int


def build_index(entries: Iterable[str]) -> AnagramIndex:
    """Index the entries that, lower-cased, are of the letters a-z alone; drop the others whole."""
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
