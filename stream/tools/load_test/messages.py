"""What generator and reader are told and what they say: a line of JSON each, over their pipes."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stream.errors import Fatal
from stream.tools.load_test.texts import Recipe


class Message(BaseModel):
    """Frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class GeneratorOrder(Message):
    """What a generator is to send.

    Attributes:
        first: number of the first blob; text and partition of a blob follow from its number.
        blobs: how many.
        rate: of an open loop, blobs a second; 0: as fast as it can.
        run: so many blobs after each other go to one partition.
        prefix: of the blob ids.
    """

    prefix: str
    recipe: Recipe
    partitions: int
    first: int
    blobs: int
    rate: float
    run: int = 1


class Begin(Message):
    """To a generator that is ready: when its first blob is due, by the monotonic clock."""

    begin_ns: int


class Stop(Message):
    """To a generator: send no more. To a reader: no more than so many blobs will come."""

    blobs: int


class ReaderOrder(Message):
    """What a reader is to wait for.

    Attributes:
        start: partition -> offset.
        first: number of the first blob; blobs: how many, until told otherwise.
        file: takes what it saw, see `Arrivals`.
    """

    prefix: str
    start: dict[int, int]
    first: int
    blobs: int
    file: Path


class Said(Message):
    """What a generator or a reader says.

    Attributes:
        ready: it has said something: it waits for its `Begin`, or has begun to read.
        count: blobs handed over, or seen, so far.
        ends: partition -> the offset after the last result seen.
        done: that was all.
        late_p99_ms: how long after they were due blobs were handed over; late_max_ms: the same, the worst.
        taken_p99_ms: how long the broker needed to acknowledge them.
        seconds: from when the first was due to the last handed over.
        failed: why it ended.
    """

    ready: bool = True
    count: int = 0
    ends: dict[int, int] = Field(default_factory=dict)
    done: bool = False
    late_p99_ms: float = 0.0
    late_max_ms: float = 0.0
    taken_p99_ms: float = 0.0
    seconds: float = 0.0
    failed: str = ""


M = TypeVar("M", bound=Message)


def line_of(message: Message) -> bytes:
    """Return a message as a line."""
    return message.model_dump_json().encode() + b"\n"


def read_line(line: bytes, kind: type[M]) -> M:
    """Read a line.

    Raises:
        Fatal: it is not one of ours.
    """
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        raise Fatal(f"not a {kind.__name__}: {line[:200]!r}") from error
