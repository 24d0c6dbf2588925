"""Splits the text of a blob into words."""

import re

_DROPPED = re.compile(r"[^a-zA-Z0-9\s]")


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
