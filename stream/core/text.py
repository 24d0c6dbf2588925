"""Splits the text of a blob into words."""

import re

BOM_CHARACTER = "\ufeff"  # byte order mark: editors put it before a text, and it is not part of it
BOM = BOM_CHARACTER.encode()

_DROPPED = re.compile(r"[^a-zA-Z0-9\s]")
_BEGINNING_BYTES = 200
_WIDE_MARKS = (
    (b"\xff\xfe\0\0", "UTF-32"),  # before UTF-16, whose mark is its beginning
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


def words(text: str) -> list[str]:
    """Return the words of a text, in order, in lower case.

    `-` becomes a space, every character except a-z, A-Z, 0-9 and white space is dropped, and the rest is
    split at white space as `str.split` defines it. Letters are converted to lower case last, so that a letter
    whose lower case is ASCII (the Kelvin sign) is dropped like any other foreign letter.
    """
    return _DROPPED.sub("", text.replace("-", " ")).lower().split()


def filtered(text: str) -> str:
    """Return the text that `words` splits: `-` as a space, and only a-z, A-Z, 0-9 and white space kept."""
    return _DROPPED.sub("", text.replace("-", " "))


def why_not_utf8(value: bytes, position: int) -> str:
    """Say that a text is not UTF-8 at this byte, and name UTF-16 or UTF-32 if it looks like them."""
    named = next((name for mark, name in _WIDE_MARKS if value.startswith(mark)), "")
    if named:
        return f"not UTF-8 at byte {position}: it has the byte order mark of {named}"
    beginning = value[:_BEGINNING_BYTES]  # every other byte of European texts in UTF-16 is a NUL
    looks_wide = len(beginning) > 1 and beginning.count(0) >= len(beginning) // 3
    return f"not UTF-8 at byte {position}" + (": it looks like UTF-16" if looks_wide else "")
