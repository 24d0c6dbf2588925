"""Files, folders and standard input -> blobs to send, a line or a file each, in bounded memory."""

import os
import select
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from stream.errors import Misconfigured

STDIN = Path("-")
_SKIP_BYTES = 1024 * 1024
_STDIN_S_MAX = 1.0


class Blob(NamedTuple):
    """A text to send.

    Attributes:
        where: it comes from, for people.
        key: of its record.
        text: as it was read; nobody looked whether it is UTF-8.
        read_bytes: how much was read for it.
        problem: why it cannot be sent.
    """

    where: str
    key: str | None
    text: bytes
    read_bytes: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A file, or standard input where `path` is none.

    Attributes:
        name: of the file, or its path within the folder that was asked for.
    """

    path: Path | None = None
    name: str = ""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Cut:
    """How sources are cut into blobs, and how those are named.

    Attributes:
        whole: a blob per source, not per line.
        bytes_max: what of one blob is read; a longer one is a problem.
        keyed: records have keys.
        prefix: of each key.
    """

    whole: bool
    bytes_max: int
    keyed: bool
    prefix: str

    def key(self, source: Source) -> str | None:
        """Return what the keys of a source begin with, or none. Standard input has no name."""
        return self.prefix + source.name if self.keyed and (source.name or self.prefix) else None

    @property
    def too_long(self) -> str:
        """What is wrong with a longer blob."""
        return f"longer than {self.bytes_max:,} bytes, which no record may be"


def sources(paths: Sequence[Path]) -> list[Source]:
    """Return the files to read, those of folders in the order of their names; hidden ones are left out.

    Raises:
        Misconfigured: something is missing, not readable, or a folder without files.
    """
    found: list[Source] = []
    for path in paths or [STDIN]:
        if path == STDIN:
            found.append(Source())
        elif path.is_dir():
            inside = [_source(file, _text(file.relative_to(path).as_posix())) for file in _walk(path)]
            if not inside:
                raise Misconfigured(f"there are no files in {_text(path)}")
            found += inside
        elif path.exists():
            found.append(_source(path, _text(path.name)))
        else:
            raise Misconfigured(f"there is no file {_text(path)}")
    return found


def blobs(chosen: Sequence[Source], cut: Cut) -> Iterator[Blob]:
    """Yield the blobs of the sources. A file that cannot be read to its end is a blob with a problem."""
    for source in chosen:
        try:
            if source.path is None:
                yield from _of_file(sys.stdin.buffer, source, cut)
            else:
                with source.path.open("rb") as file:
                    yield from _of_file(file, source, cut)
        except OSError as error:
            yield Blob(source.name or "standard input", None, b"", 0, f"cannot be read: {error.strerror}")


def stdin_has_text() -> bool:
    """Whether behind standard input is a pipe or a file that says something, or its end, within a second."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return False
    if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode)):
        return False
    return bool(select.select([0], [], [], _STDIN_S_MAX)[0])


def _of_file(file: BinaryIO, source: Source, cut: Cut) -> Iterator[Blob]:
    where = source.name or "standard input"
    if not cut.whole:
        yield from _lines(file, source, cut, where)
        return
    text = file.read(cut.bytes_max + 1)
    problem = cut.too_long if len(text) > cut.bytes_max else ""
    yield Blob(where, cut.key(source), text, len(text), problem)


def _lines(file: BinaryIO, source: Source, cut: Cut, where: str) -> Iterator[Blob]:
    number = read_bytes = 0
    stem = cut.key(source)
    colon = ":" if source.name else ""
    ending = len(b"\r\n")
    while line := file.readline(cut.bytes_max + ending):  # ends: the file does
        number += 1
        read_bytes += len(line)
        text = line.rstrip(b"\r\n")
        problem = cut.too_long if len(text) > cut.bytes_max else ""
        while not line.endswith(b"\n") and (line := file.readline(_SKIP_BYTES)):  # the rest of a long one
            read_bytes += len(line)
        if text.strip():
            key = None if stem is None else f"{stem}{colon}{number}"
            yield Blob(f"{where}:{number}", key, text, read_bytes, problem)
            read_bytes = 0


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(".") and path.is_file():
                yield path


def _source(path: Path, name: str) -> Source:
    if not os.access(path, os.R_OK):
        raise Misconfigured(f"{_text(path)} cannot be read: permission denied")
    facts = path.stat()
    return Source(path, name, facts.st_size if stat.S_ISREG(facts.st_mode) else 0)


def _text(path: Path | str) -> str:
    """Return a path for people and for keys: a name may hold any bytes."""
    return os.fsencode(path).decode(errors="replace")
