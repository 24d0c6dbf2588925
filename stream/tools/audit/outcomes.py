"""What an audit looks at: results, dead letters, stores, and how far."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Result:
    """A committed result: where it lies and what it says. `source` is its input's partition and offset."""

    at: int
    source: tuple[int, int]
    body: Mapping[str, Any]
    key: bytes | None


@dataclass(frozen=True, slots=True)
class Letter:
    """A committed dead letter of this partition's input.

    Attributes:
        content: `content_of` its key and value; None where they were shortened.
    """

    offset: int
    reason: str
    content: int | None


@dataclass(frozen=True, slots=True)
class StoreCopy:
    """What a store holds, and the input offset that it stands for."""

    name: str
    input_offset: int
    totals: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a partition is looked at.

    Attributes:
        first: where its input begins.
        committed: up to here every input record has an outcome among those given.
        end: outcomes speak of input before this.
        counted_to: up to here the totals stand.
        outcomes_from: earlier input may have had a result that retention took.
        letters_cut: retention took dead letters: what the core rejects may have had one.
    """

    first: int
    committed: int
    end: int
    counted_to: int
    outcomes_from: int = 0
    letters_cut: bool = False


def content_of(key: bytes | None, value: bytes | None) -> int:
    """Return a number for a record's key and value: equal ones have the same, within this process."""
    return hash((key, value))


def read_result(at: int, key: bytes | None, value: bytes | None, topic: str) -> Result | None:
    """Read a result of the input `topic`; None where it is not one."""
    try:
        body = orjson.loads(value or b"")
        source = body["source"]
        if source["topic"] != topic:
            return None
        return Result(at, (int(source["partition"]), int(source["offset"])), body, key)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
