"""Blob text -> words."""

import re

_DROPPED = re.compile(r"[^a-zA-Z0-9\s]")


def words(text: str) -> list[str]:
    """Return the words of a blob, in order, lower-cased.

    `-` becomes a space, every character but a-z, A-Z, 0-9 and white space is dropped, and the rest
    is split on white space, which is what `str.split` says it is. Case is folded last, so that a
    letter whose lower case is ASCII (the Kelvin sign) is dropped like any other foreign letter.
    """
    return _DROPPED.sub("", text.replace("-", " ")).lower().split()


def filtered(text: str) -> str:
    """Return the text as `words` splits it: `-` as a space, and only a-z, A-Z, 0-9 and white space left."""
    return _DROPPED.sub("", text.replace("-", " "))
