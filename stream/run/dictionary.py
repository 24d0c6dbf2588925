"""The dictionary, from the word list that was named or from the package's own."""

from pathlib import Path

from english_words import get_english_words_set

from stream.core.dictionary import AnagramIndex, build_index
from stream.errors import Misconfigured


def load_index(dictionary: Path | None) -> AnagramIndex:
    """Read and index the dictionary: a word list, or the package's own.

    Raises:
        Misconfigured: it cannot be read, or holds no word.
    """
    if dictionary is None:
        return build_index(get_english_words_set(["gcide"], lower=True))
    try:
        index = build_index(dictionary.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(
            f"STREAM_DICTIONARY: cannot read {dictionary}: {error}", "name a UTF-8 word list"
        ) from error
    if not index.words:
        raise Misconfigured(
            f"STREAM_DICTIONARY: {dictionary} holds no word of the letters a-z",
            "name a word list, a word per line",
        )
    return index
