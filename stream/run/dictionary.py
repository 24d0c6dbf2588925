"""Where the dictionary comes from, and its index on disk, so that a start does not make it again.

<cache folder>/dictionaries/<what it was made of>.json
sha256 of the rest, a line of its own: a damaged file is made again
{"digest", "words", "dropped", "anagrams": {signature: [word, …]}}
"""

import contextlib
import os
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

import orjson
import platformdirs

from stream.core.dictionary import AnagramIndex, build_index
from stream.errors import Misconfigured

FORMAT = 1  # another where `build_index` makes something else of the same words
PACKAGE, LIST = "english-words", "gcide"
_OWNER_ONLY = 0o700


def load_index(dictionary: Path | None, cache: Path | None = None) -> AnagramIndex:
    """Read and index the dictionary: a word list, or the package's own.

    `cache`: the folder of made indexes; by default one of the user's own.

    Raises:
        Misconfigured: it cannot be read, or holds no word.
    """
    folder = cache or Path(platformdirs.user_cache_dir("anagram-stream", appauthor=False)) / "dictionaries"
    content = b"" if dictionary is None else _read(dictionary)
    made_of = f"{LIST}-{version(PACKAGE)}" if dictionary is None else sha256(content).hexdigest()
    path = folder / f"{made_of}.{FORMAT}.json"
    cached = _load(path)
    if cached is not None:
        return cached
    index = _package_index() if dictionary is None else _list_index(dictionary, content)
    _save(path, index)
    return index


def _read(dictionary: Path) -> bytes:
    try:
        return dictionary.read_bytes()
    except OSError as error:
        raise _unreadable(dictionary, error) from error


def _package_index() -> AnagramIndex:
    from english_words import get_english_words_set  # noqa: PLC0415 - slow to load, and mostly not needed

    return build_index(get_english_words_set([LIST], lower=True))


def _list_index(dictionary: Path, content: bytes) -> AnagramIndex:
    try:
        index = build_index(content.decode().splitlines())
    except UnicodeDecodeError as error:
        raise _unreadable(dictionary, error) from error
    if not index.words:
        raise Misconfigured(
            f"STREAM_DICTIONARY: {dictionary} holds no word of the letters a-z",
            "name a word list, a word per line",
        )
    return index


def _unreadable(dictionary: Path, error: Exception) -> Misconfigured:
    return Misconfigured(f"STREAM_DICTIONARY: cannot read {dictionary}: {error}", "name a UTF-8 word list")


def _load(path: Path) -> AnagramIndex | None:
    try:
        seal, _, content = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    if seal != _seal(content):
        return None
    kept = orjson.loads(content)
    anagrams = MappingProxyType({key: tuple(same) for key, same in kept["anagrams"].items()})
    return AnagramIndex(anagrams, kept["digest"], kept["words"], kept["dropped"])


def _save(path: Path, index: AnagramIndex) -> None:
    content = orjson.dumps(
        {
            "digest": index.digest,
            "words": index.words,
            "dropped": index.dropped,
            "anagrams": dict(index.anagrams),
        }
    )
    with contextlib.suppress(OSError):  # a cache that cannot be kept costs time and nothing else
        path.parent.mkdir(parents=True, exist_ok=True, mode=_OWNER_ONLY)
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.write_bytes(_seal(content) + b"\n" + content)
        draft.replace(path)


def _seal(content: bytes) -> bytes:
    return sha256(content).hexdigest().encode()
