"""Where the dictionary comes from, and what was made of it on disk, so that a start does not make it again.

<cache folder>/dictionaries/<what it was made of>.<format>.json, .npz
sha256 of the rest, a line of its own: a damaged file is made again
.json   the index: {"digest", "words", "dropped", "anagrams": {signature: [word, …]}}
.npz    the lexicon, as NumPy saves arrays; its two lists as lines
"""

import contextlib
import io
import os
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

import numpy as np
import orjson
import platformdirs

from stream.core.dictionary import AnagramIndex, build_index
from stream.core.lexicon import Lexicon, Packed, make_lexicon, pack
from stream.errors import Misconfigured

FORMAT = 1  # another where `build_index` makes something else of the same words
LEXICON_FORMAT = 2  # another where `make_lexicon` makes, or `spell` and `find` need, something else
PACKAGE, LIST = "english-words", "gcide"
_OWNER_ONLY = 0o700


def load_index(dictionary: Path | None, cache: Path | None = None) -> AnagramIndex:
    """Read and index the dictionary: a word list, or the package's own.

    `cache`: the folder of made indexes; by default one of the user's own.

    Raises:
        Misconfigured: it cannot be read, or holds no word.
    """
    return _index(dictionary, *_place(dictionary, cache))


def _index(dictionary: Path | None, content: bytes, path: Path) -> AnagramIndex:
    """Return the index of what was read, once: a file may be replaced at any time."""
    cached = _load(path.with_name(f"{path.name}.{FORMAT}.json"))
    if cached is not None:
        return cached
    index = _package_index() if dictionary is None else _list_index(dictionary, content)
    _save(path.with_name(f"{path.name}.{FORMAT}.json"), _dumped(index))
    return index


def load_lexicon(dictionary: Path | None, cache: Path | None = None) -> Lexicon:
    """Read the dictionary, as `load_index` does, for counting many blobs at once.

    Raises:
        Misconfigured: it cannot be read, or holds no word.
    """
    content, path = _place(dictionary, cache)
    cached = _load_lexicon(path.with_name(f"{path.name}.{LEXICON_FORMAT}.npz"))
    if cached is not None:
        return cached
    lexicon = make_lexicon(_index(dictionary, content, path))
    _save(path.with_name(f"{path.name}.{LEXICON_FORMAT}.npz"), _dumped_lexicon(lexicon))
    return lexicon


def forget(dictionary: Path, cache: Path | None = None) -> None:
    """Delete what was kept of a word list that will not be used again."""
    _, path = _place(dictionary, cache)
    for kept in path.parent.glob(f"{path.name}.*"):
        kept.unlink(missing_ok=True)


def _place(dictionary: Path | None, cache: Path | None) -> tuple[bytes, Path]:
    """Return what the dictionary holds, and where things made of it are kept, without their suffix."""
    folder = cache or Path(platformdirs.user_cache_dir("anagram-stream", appauthor=False)) / "dictionaries"
    content = b"" if dictionary is None else _read(dictionary)
    made_of = f"{LIST}-{version(PACKAGE)}" if dictionary is None else sha256(content).hexdigest()
    return content, folder / made_of


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
    content = _unsealed(path)
    if content is None:
        return None
    kept = orjson.loads(content)
    anagrams = MappingProxyType({key: tuple(same) for key, same in kept["anagrams"].items()})
    return AnagramIndex(anagrams, kept["digest"], kept["words"], kept["dropped"])


def _dumped(index: AnagramIndex) -> bytes:
    return orjson.dumps(
        {
            "digest": index.digest,
            "words": index.words,
            "dropped": index.dropped,
            "anagrams": dict(index.anagrams),
        }
    )


def _load_lexicon(path: Path) -> Lexicon | None:
    content = _unsealed(path)
    if content is None:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as kept:
        bare = Lexicon(
            digest=str(kept["digest"]),
            words=int(kept["words"]),
            dropped=int(kept["dropped"]),
            signatures=(),
            pieces=(),
            spelling=kept["spelling"],
            slots=[kept[f"slots{level}"] for level in range(int(kept["levels"]))],
        )
        lexicon = Packed(bare, kept["signatures"].tobytes(), kept["pieces"].tobytes()).unpack()
    return lexicon if lexicon.finds_its_own() else None  # else made by another version: words would be missed


def _dumped_lexicon(lexicon: Lexicon) -> bytes:
    made, packed = io.BytesIO(), pack(lexicon)
    np.savez(
        made,
        digest=np.array(lexicon.digest),
        words=np.array(lexicon.words),
        dropped=np.array(lexicon.dropped),
        signatures=np.frombuffer(packed.signatures, np.uint8),
        pieces=np.frombuffer(packed.pieces, np.uint8),
        spelling=lexicon.spelling,
        levels=np.array(len(lexicon.slots)),
        allow_pickle=False,
        **{f"slots{level}": slots for level, slots in enumerate(lexicon.slots)},
    )
    return made.getvalue()


def _unsealed(path: Path) -> bytes | None:
    try:
        seal, _, content = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    return content if seal == _seal(content) else None


def _save(path: Path, content: bytes) -> None:
    with contextlib.suppress(OSError):  # a cache that cannot be kept costs time and nothing else
        path.parent.mkdir(parents=True, exist_ok=True, mode=_OWNER_ONLY)
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.write_bytes(_seal(content) + b"\n" + content)
        draft.replace(path)


def _seal(content: bytes) -> bytes:
    return sha256(content).hexdigest().encode()
