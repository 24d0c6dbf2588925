"""Splits the text of a blob into words."""

import re

BOM_CHARACTER = "\ufeff"  # byte order mark: editors put it before a text; it is not part of the text
BOM = BOM_CHARACTER.encode()

_DROPPED = re.compile(r"[^a-zA-Z0-9\s]")
_BEGINNING_BYTES = 200
_MARKED_BYTES_MIN, _UNMARKED_BYTES_MIN = 4, 12  # a mark and a character; six characters without a mark
_ASCII = frozenset(b"\t\n\r" + bytes(range(0x20, 0x7F)))
_ASCII_SHARE_MIN = 0.7
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
    whose lower case is ASCII (the Kelvin sign) is dropped like any other non-ASCII letter.
    """
    return _DROPPED.sub("", text.replace("-", " ")).lower().split()


def filtered(text: str) -> str:
    """Return the text that `words` splits: `-` as a space, and only a-z, A-Z, 0-9 and white space kept."""
    return _DROPPED.sub("", text.replace("-", " "))


def why_not_utf8(value: bytes, position: int) -> str:
    """Describe why a value is not UTF-8, and name UTF-16 or UTF-32 if it looks like one of them."""
    named = next((name for mark, name in _WIDE_MARKS if value.startswith(mark)), "")
    if named and len(value) % 2 == 0 and len(value) >= _MARKED_BYTES_MIN:
        return f"not UTF-8 at byte {position}: the value has the byte order mark of {named}"
    guess = ": the value looks like UTF-16" if looks_like_utf16(value) else ""
    return f"not UTF-8 at byte {position}{guess}"


def looks_like_utf16(value: bytes) -> bool:
    """Return whether most characters are ASCII if the value is read as UTF-16, as in European texts.

    Binary values contain zero bytes, too, so a short value is never considered a text.
    """
    beginning = value[:_BEGINNING_BYTES]
    if len(value) % 2 or len(beginning) < _UNMARKED_BYTES_MIN:
        return False
    return any(
        sum(
            not high and low in _ASCII
            for high, low in zip(beginning[1 - first :: 2], beginning[first::2], strict=True)
        )
        >= _ASCII_SHARE_MIN * len(beginning) / 2
        for first in (0, 1)  # the low byte comes first, or the high one
    )


def printable(text: str) -> str:
    """Return the text on one line, with control characters escaped: records can contain any text."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
