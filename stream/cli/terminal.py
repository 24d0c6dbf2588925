"""Handles standard input, output and error that are closed, on a full disk, or not UTF-8."""

import codecs
import errno
import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from stream.errors import Fatal, Refused

_ASCII = {
    "✓": "ok", "✗": "x", "…": "...", "—": "-", "→": "->", "±": "+-",
    "·": ".", "•": "*", "≥": ">=", "≤": "<=", "≈": "~", "½": "1/2", "⌈": "[", "⌉": "]", "“": '"', "”": '"',
}  # fmt: skip
_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
_HANDLER = "ascii-marks"


class _Lossy:
    """A text stream that drops what it cannot write: a log reader that exits does not stop a worker."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - what the stream has
        return getattr(self._stream, name)


def prepare_standard_files() -> None:
    """Make every text writable in any encoding, and replace closed files with the null device.

    Text that cannot be written to standard error is dropped.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdin = sys.stdin or io.TextIOWrapper(io.FileIO(0, closefd=False))
    sys.stdout = sys.stdout or io.TextIOWrapper(io.FileIO(1, "w", closefd=False))
    sys.stderr = sys.stderr or io.TextIOWrapper(io.FileIO(2, "w", closefd=False))
    codecs.register_error(_HANDLER, _as_ascii)
    for file in (sys.stdout, sys.stderr):
        if isinstance(file, io.TextIOWrapper):
            file.reconfigure(errors=_HANDLER)
    if not isinstance(sys.stderr, _Lossy):
        sys.stderr = cast("TextIO", _Lossy(sys.stderr))


def write_failure(error: OSError) -> Fatal | None:
    """Return the error for output that cannot be written, as on a full disk; None for another error."""
    if error.errno not in _CANNOT_WRITE:
        return None
    return Refused(
        f"cannot write {error.filename or 'the output'}: {error.strerror}; the output is incomplete",
        "free disk space, or write to another file",
    )


def discard_output() -> None:
    """Redirect the rest of standard output to the null device, so that the process exits silently."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _as_ascii(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that the encoding lacks: marks with ASCII, others with their escape sequence."""
    assert isinstance(error, UnicodeEncodeError)
    missing = error.object[error.start : error.end]
    return "".join(_ASCII.get(char) or ascii(char)[1:-1] for char in missing), error.end


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that a command shuts down cleanly."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
