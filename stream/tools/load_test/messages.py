"""Orders to the generator and the reader of a load test, and their status reports."""

from pathlib import Path

from pydantic import Field

from stream.json_lines import Message
from stream.tools.load_test.texts import Recipe


class GeneratorOrder(Message):
    """The blobs to produce.

    Attributes:
        prefix: prefix of the blob ids.
        first: number of the first blob. Text and partition of a blob follow from its number.
        blobs: number of blobs.
        rate: blobs/s of an open loop; 0: as fast as possible.
        run: number of consecutive blobs on the same partition.
    """

    prefix: str
    recipe: Recipe
    partitions: int
    first: int
    blobs: int
    rate: float
    run: int = 1


class Begin(Message):
    """Tells a ready generator when its first blob is due, on the monotonic clock."""

    begin_ns: int


class Stop(Message):
    """Tells a generator to stop, or a reader how many blobs to wait for."""

    blobs: int


class ReaderOrder(Message):
    """The results to wait for.

    Attributes:
        prefix: prefix of the blob ids.
        start: partition -> first offset to read.
        first: number of the first blob.
        blobs: number of blobs, unless a `Stop` changes it.
        file: where the reader saves its `Arrivals`.
    """

    prefix: str
    start: dict[int, int]
    first: int
    blobs: int
    file: Path


class Status(Message):
    """The progress of a generator or a reader.

    Attributes:
        ready: whether the child has started; a generator waits for its `Begin`.
        count: blobs produced, or results seen, so far.
        ends: partition -> the offset after the last result seen.
        done: whether this is the last status.
        late_p99_ms: delay of the production of blobs after their due times, 99th percentile.
        late_max_ms: the same, maximum.
        ack_p99_ms: time from producing a blob to its acknowledgement, 99th percentile.
        seconds: from the due time of the first blob to the production of the last one.
        failed: why the child failed; empty if it did not.
    """

    ready: bool = True
    count: int = 0
    ends: dict[int, int] = Field(default_factory=dict)
    done: bool = False
    late_p99_ms: float = 0.0
    late_max_ms: float = 0.0
    ack_p99_ms: float = 0.0
    seconds: float = 0.0
    failed: str = ""
