"""Splits files, folders and standard input into blobs, one per line or file, in bounded memory."""

import codecs
import contextlib
import os
import select
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from stream.errors import Misconfigured

STDIN = Path("-")
_SKIP_BYTES = 1024 * 1024
_STDIN_S_MAX = 1.0
_SAMPLE_BYTES = 64 * 1024


class Blob(NamedTuple):
    """A text to send.

    Attributes:
        origin: file and line that the text comes from.
        key: the key of its record.
        text: the bytes as they were read, not checked to be UTF-8.
        read_bytes: number of bytes read for it.
        problem: why the blob cannot be sent; empty if it can.
    """

    origin: str
    key: str | None
    text: bytes
    read_bytes: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class BlobSource:
    """A file, or standard input if `path` is None.

    Attributes:
        name: the file name, or the path relative to the given folder.
    """

    path: Path | None = None
    name: str = ""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class BlobSplitting:
    """How sources are split into blobs, and which keys the blobs get.

    Attributes:
        whole: one blob per source instead of one per line.
        bytes_max: maximum size of a blob; a longer one has a problem.
        keyed: whether blobs have keys.
        prefix: prefix of each key.
    """

    whole: bool
    bytes_max: int
    keyed: bool
    prefix: str

    def key(self, source: BlobSource) -> str | None:
        """Return the key of a source; None without keys, and for standard input without a prefix."""
        return self.prefix + source.name if self.keyed and (source.name or self.prefix) else None

    @property
    def too_long(self) -> str:
        """The problem of a longer blob."""
        return f"longer than {self.bytes_max:,} bytes, the limit for a record"


def find_sources(paths: Sequence[Path]) -> list[BlobSource]:
    """Return the files to read, sorted by name within a folder, without hidden files.

    Raises:
        Misconfigured: a path is missing or not readable, or a folder has no files.
    """
    sources: list[BlobSource] = []
    for path in paths or [STDIN]:
        if path == STDIN:
            sources.append(BlobSource())
        elif path.is_dir():
            inside = [_source(file, _text(file.relative_to(path).as_posix())) for file in _walk(path)]
            if not inside:
                raise Misconfigured(f"no files in {_text(path)}")
            sources += inside
        elif path.exists():
            sources.append(_source(path, _text(path.name)))
        else:
            raise Misconfigured(f"no such file: {_text(path)}")
    return sources


def read_blobs(sources: Sequence[BlobSource], splitting: BlobSplitting) -> Iterator[Blob]:
    """Yield the blobs of the sources; a read error yields a blob with a problem."""
    for source in sources:
        try:
            if source.path is None:
                yield from _of_file(sys.stdin.buffer, source, splitting)
            else:
                with source.path.open("rb") as file:
                    yield from _of_file(file, source, splitting)
        except OSError as error:
            yield Blob(source.name or "standard input", None, b"", 0, f"cannot be read: {error.strerror}")


def not_text(sources: Sequence[BlobSource]) -> Iterator[str]:
    """Yield the names of files whose first part has a NUL byte, or mostly lines that are not UTF-8.

    Only regular files are checked: others cannot be read twice.
    """
    for source in sources:
        if source.path is not None and source.size_bytes:
            with contextlib.suppress(OSError), source.path.open("rb") as file:  # reported when it is sent
                sample = file.read(_SAMPLE_BYTES)
                if b"\0" in sample or _is_mostly_undecodable(sample):
                    yield source.name


def _is_mostly_undecodable(sample: bytes) -> bool:
    lines = [line for line in sample.split(b"\n") if line.strip()]
    if len(lines) > 1 and len(sample) == _SAMPLE_BYTES:
        lines.pop()  # it may end within a character
    undecodable = sum(not _is_utf_8(line) for line in lines)
    return undecodable > len(lines) / 2


def _is_utf_8(text: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(text)
    except UnicodeDecodeError:
        return False
    return True


def stdin_has_text(on_silence: Callable[[str], None]) -> bool:
    """Return whether standard input is a file, or a pipe with data or an end of file within a second.

    A silent pipe may never receive data: `on_silence` receives a sentence about it.
    """
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return False
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISREG(mode)):
        return False
    if select.select([0], [], [], _STDIN_S_MAX)[0]:
        return True
    on_silence(
        f"standard input was not read: no text within {_STDIN_S_MAX:.0f} s; add --file - to wait for it"
    )
    return False


def _of_file(file: BinaryIO, source: BlobSource, splitting: BlobSplitting) -> Iterator[Blob]:
    origin = source.name or "standard input"
    if not splitting.whole:
        yield from _lines(file, source, splitting, origin)
        return
    text = file.read(splitting.bytes_max + 1)
    problem = splitting.too_long if len(text) > splitting.bytes_max else ""
    yield Blob(origin, splitting.key(source), text, len(text), problem)


def _lines(file: BinaryIO, source: BlobSource, splitting: BlobSplitting, origin: str) -> Iterator[Blob]:
    number = read_bytes = 0
    stem = splitting.key(source)
    colon = ":" if source.name else ""
    ending = len(b"\r\n")
    while line := file.readline(splitting.bytes_max + ending):  # ends: at the end of the file
        number += 1
        read_bytes += len(line)
        text = line.rstrip(b"\r\n")
        problem = splitting.too_long if len(text) > splitting.bytes_max else ""
        while not line.endswith(b"\n") and (
            line := file.readline(_SKIP_BYTES)
        ):  # skip the rest of a long line
            read_bytes += len(line)
        if text.strip():
            key = None if stem is None else f"{stem}{colon}{number}"
            yield Blob(f"{origin}:{number}", key, text, read_bytes, problem)
            read_bytes = 0


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith(".") and path.is_file():
                yield path


def _source(path: Path, name: str) -> BlobSource:
    if not os.access(path, os.R_OK):
        raise Misconfigured(f"{_text(path)} cannot be read: permission denied")
    status = path.stat()
    return BlobSource(path, name, status.st_size if stat.S_ISREG(status.st_mode) else 0)


def _text(path: Path | str) -> str:
    """Return a path as text for messages and keys; file names may contain any bytes."""
    return os.fsencode(path).decode(errors="replace")
