"""The position of a reader of the event stream, as an event id that resumes it on any replica."""

import re
from collections.abc import Mapping

Positions = Mapping[tuple[bytes, int], int]
"""Kind of outcome and partition -> the next offset to send."""
_FORM = re.compile(r"[0-9a-f]{8}(\.[rd]\d{1,9}-\d{1,18}){0,20000}")
_PART = re.compile(r"\.([rd])(\d+)-(\d+)")
_TAG_CHARS = 8


def encode_cursor(tag: str, positions: Positions) -> str:
    """Return positions as the id of an event; `tag` names the topics that they belong to."""
    parts = [
        f".{kind.decode()}{partition}-{offset}" for (kind, partition), offset in sorted(positions.items())
    ]
    return tag + "".join(parts)


def decode_cursor(tag: str, text: str) -> dict[tuple[bytes, int], int] | None:
    """Return the positions; None if it is not a cursor, or belongs to other topics."""
    if not _FORM.fullmatch(text) or text[:_TAG_CHARS] != tag:
        return None
    return {(kind.encode(), int(partition)): int(offset) for kind, partition, offset in _PART.findall(text)}
