"""Results, dead letters and copies of stores that an audit compares, and the offsets that bound it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from stream.core.skipped import SkippedRange

OFFSET_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Result:
    """A committed result.

    Attributes:
        offset: its offset in the result topic.
        source: partition and offset of its input record.
    """

    offset: int
    source: tuple[int, int]
    body: Mapping[str, Any]
    key: bytes | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A committed dead letter of an input record of this partition.

    Attributes:
        input_offset: offset of the rejected record.
        content_hash: `hash_content` of key and value; None if the dead letter was shortened.
        text_limit: limit that the text exceeded, in bytes; None for any other reason.
    """

    input_offset: int
    reason: str
    content_hash: int | None
    text_limit: int | None = None


@dataclass(frozen=True, slots=True)
class StoreCopy:
    """A copy of the totals in a store.

    Attributes:
        input_offset: the totals cover all input before it.
        changelog_offset: the store contains the changelog up to here.
        is_restoring: a restore was interrupted, so the totals may also cover part of later input.
    """

    name: str
    input_offset: int
    changelog_offset: int
    totals: Mapping[bytes, bytes]
    is_restoring: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    """The offsets of one input partition that limit a comparison.

    Attributes:
        first: first offset of the input.
        committed: every input record before this offset has an outcome among those compared.
        end: all compared outcomes belong to input before this offset.
        counted_to: the totals cover all input before this offset.
        outcomes_from: retention may have deleted the results of earlier input.
        dead_letters_truncated: retention deleted dead letters, perhaps those of input compared here.
        not_counted_from: no transaction counted input from here on, so retention deleted no outcome of it.
        skipped: input that was skipped deliberately.
    """

    first: int
    committed: int
    end: int
    counted_to: int
    outcomes_from: int = 0
    dead_letters_truncated: bool = False
    not_counted_from: int = OFFSET_MAX
    skipped: Sequence[SkippedRange] = ()


def hash_content(key: bytes | None, value: bytes | None) -> int:
    """Return a hash of a record's key and value; it is valid within this process only."""
    return hash((key, value))


def read_result(offset: int, key: bytes | None, value: bytes | None, topic: str) -> Result | None:
    """Read a result of the input `topic`; None if the record is not one."""
    try:
        body = orjson.loads(value or b"")
        source = body["source"]
        if source["topic"] != topic:
            return None
        return Result(offset, (int(source["partition"]), int(source["offset"])), body, key)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
