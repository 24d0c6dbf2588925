"""What standard input, output and error of a command can be: closed, full, or without UTF-8."""

import codecs
import errno
import io
import os
import sys
from contextlib import suppress

from stream.errors import Fatal, Refused

_ASCII = {
    "✓": "ok", "✗": "x", "…": "...", "—": "-", "→": "->", "±": "+-",
    "·": ".", "•": "*", "≥": ">=", "≤": "<=", "≈": "~", "½": "1/2", "⌈": "[", "⌉": "]", "“": '"', "”": '"',
}  # fmt: skip
_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
_HANDLER = "ascii-marks"


def prepare_standard_files() -> None:
    """Let each text be written whatever the encoding is, and replace closed files by the null device."""
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


def write_failure(error: OSError) -> Fatal | None:
    """Return the error for an output that cannot be written, such as a full disk; None if it is another."""
    if error.errno not in _CANNOT_WRITE:
        return None
    return Refused(
        f"cannot write {error.filename or 'the output'}: {error.strerror}; what was written is not complete",
        "free some space, or write to another file",
    )


def discard_output() -> None:
    """Direct the rest of standard output to the null device, so that the end of the process is silent."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _as_ascii(error: UnicodeError) -> tuple[str, int]:
    """Replace what an encoding lacks: marks by ASCII, other characters by their escape sequence."""
    assert isinstance(error, UnicodeEncodeError)
    missing = error.object[error.start : error.end]
    return "".join(_ASCII.get(char) or ascii(char)[1:-1] for char in missing), error.end
