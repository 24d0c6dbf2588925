"""Loads the dictionary, and caches the index and the lexicon on disk so that the next start is fast.

<cache folder>/dictionaries/<source of the words>.<format>.json, .npz
The first line is the sha256 of the rest; a damaged file is rebuilt.
.json   the index: {"digest", "words", "dropped", "anagrams": {signature: [word, …]}}
.npz    the lexicon as NumPy arrays; its two lists as lines
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
from stream.core.text import BOM_CHARACTER, why_not_utf8
from stream.errors import Misconfigured

FORMAT = 2  # increase it if `build_index` returns a different index for the same words
LEXICON_FORMAT = 3  # increase it if `make_lexicon`, `spell` or `find` changes the layout
PACKAGE, LIST = "english-words", "gcide"
_OWNER_ONLY = 0o700


def load_index(dictionary: Path | None, cache: Path | None = None) -> AnagramIndex:
    """Return the index of a word list, or of the default list if `dictionary` is None.

    `cache` is the folder of cached indexes, by default in the user's cache folder.

    Raises:
        Misconfigured: the word list cannot be read or contains no word.
    """
    return _index(dictionary, *_locate(dictionary, cache))


def _index(dictionary: Path | None, content: bytes, path: Path) -> AnagramIndex:
    """Return the index of `content`; the file is not read again, since it may be replaced at any time."""
    cached = _load_index(path.with_name(f"{path.name}.{FORMAT}.json"))
    if cached is not None:
        return cached
    index = _package_index() if dictionary is None else _list_index(dictionary, content)
    _save(path.with_name(f"{path.name}.{FORMAT}.json"), _dump_index(index))
    return index


def load_lexicon(dictionary: Path | None, cache: Path | None = None) -> Lexicon:
    """Return the dictionary in the form that the engine needs; arguments as for `load_index`.

    Raises:
        Misconfigured: the word list cannot be read or contains no word.
    """
    content, path = _locate(dictionary, cache)
    cached = _load_lexicon(path.with_name(f"{path.name}.{LEXICON_FORMAT}.npz"))
    if cached is not None:
        return cached
    lexicon = make_lexicon(_index(dictionary, content, path))
    _save(path.with_name(f"{path.name}.{LEXICON_FORMAT}.npz"), _dump_lexicon(lexicon))
    return lexicon


def forget(dictionary: Path, cache: Path | None = None) -> None:
    """Delete the cached files of a word list that is no longer used."""
    _, path = _locate(dictionary, cache)
    for cached in path.parent.glob(f"{path.name}.*"):
        cached.unlink(missing_ok=True)


def _locate(dictionary: Path | None, cache: Path | None) -> tuple[bytes, Path]:
    """Return the content of the word list, and the path of its cached files without their suffix."""
    folder = cache or Path(platformdirs.user_cache_dir("anagram-stream", appauthor=False)) / "dictionaries"
    content = b"" if dictionary is None else _read(dictionary)
    source = f"{LIST}-{version(PACKAGE)}" if dictionary is None else sha256(content).hexdigest()
    return content, folder / source


def _read(dictionary: Path) -> bytes:
    try:
        return dictionary.read_bytes()
    except OSError as error:
        raise _unreadable(dictionary, error) from error


def _package_index() -> AnagramIndex:
    from english_words import get_english_words_set  # noqa: PLC0415 - slow to import and rarely needed

    return build_index(get_english_words_set([LIST], lower=True))


def _list_index(dictionary: Path, content: bytes) -> AnagramIndex:
    try:
        index = build_index(content.decode().replace(BOM_CHARACTER, "").splitlines())
    except UnicodeDecodeError as error:
        raise _unreadable(dictionary, why_not_utf8(content, error.start)) from error
    if not index.words:
        raise Misconfigured(
            f"STREAM_DICTIONARY: {dictionary} contains no word that consists of a-z",
            "set STREAM_DICTIONARY to a word list with one word per line",
        )
    return index


def _unreadable(dictionary: Path, error: Exception | str) -> Misconfigured:
    return Misconfigured(
        f"STREAM_DICTIONARY: cannot read {dictionary}: {error}",
        "set STREAM_DICTIONARY to a readable UTF-8 word list",
    )


def _load_index(path: Path) -> AnagramIndex | None:
    content = _read_verified(path)
    if content is None:
        return None
    fields = orjson.loads(content)
    anagrams = MappingProxyType({key: tuple(same) for key, same in fields["anagrams"].items()})
    return AnagramIndex(anagrams, fields["digest"], fields["words"], fields["dropped"])


def _dump_index(index: AnagramIndex) -> bytes:
    return orjson.dumps(
        {
            "digest": index.digest,
            "words": index.words,
            "dropped": index.dropped,
            "anagrams": dict(index.anagrams),
        }
    )


def _load_lexicon(path: Path) -> Lexicon | None:
    content = _read_verified(path)
    if content is None:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as fields:
        bare = Lexicon(
            digest=str(fields["digest"]),
            words=int(fields["words"]),
            dropped=int(fields["dropped"]),
            signatures=(),
            pieces=(),
            spelling=fields["spelling"],
            slots=[fields[f"slots{level}"] for level in range(int(fields["levels"]))],
        )
        lexicon = Packed(bare, fields["signatures"].tobytes(), fields["pieces"].tobytes()).unpack()
    return lexicon if lexicon.is_consistent() else None  # None: another version wrote it


def _dump_lexicon(lexicon: Lexicon) -> bytes:
    buffer, packed = io.BytesIO(), pack(lexicon)
    np.savez(
        buffer,
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
    return buffer.getvalue()


def _read_verified(path: Path) -> bytes | None:
    try:
        checksum, _, content = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    return content if checksum == _checksum(content) else None


def _save(path: Path, content: bytes) -> None:
    with contextlib.suppress(OSError):  # without the cache only the next start is slower
        path.parent.mkdir(parents=True, exist_ok=True, mode=_OWNER_ONLY)
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.write_bytes(_checksum(content) + b"\n" + content)
        draft.replace(path)


def _checksum(content: bytes) -> bytes:
    return sha256(content).hexdigest().encode()
