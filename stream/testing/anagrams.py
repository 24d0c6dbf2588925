"""The anagram fold with a small dictionary, for the fake stream."""

from collections.abc import Iterable

from stream.core.anagrams import AnagramFold
from stream.core.codec import ResultEncoder, decode_blob
from stream.core.dictionary import build_index
from stream.core.engine import Engine
from stream.core.lexicon import make_lexicon
from stream.core.records import InputRecord
from stream.core.text import words
from stream.testing.names import Names

WORDS = (
    *("listen", "silent", "enlist", "tea", "eat", "ate", "god", "dog"),
    *("act", "cat", "stop", "pots", "spot"),
)
TEXT_BYTES_MAX = 1000
RESULT_BYTES_MAX = 1 << 20


def anagram_fold(
    dictionary: Iterable[str] = WORDS, names: Names | None = None, text_bytes_max: int = TEXT_BYTES_MAX
) -> AnagramFold:
    """Return the fold that counts anagrams of these dictionary words."""
    encoder = ResultEncoder((names or Names()).results, RESULT_BYTES_MAX, RESULT_BYTES_MAX)
    return AnagramFold(Engine(make_lexicon(build_index(dictionary))), encoder, "text", text_bytes_max)


def blob_tokens(record: InputRecord) -> list[str]:
    """Return the tokens of a blob, for the stages of a fault plan."""
    return words(decode_blob(record, "text", TEXT_BYTES_MAX).text)
