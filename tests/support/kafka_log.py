"""Cuts the log of a partition of a stopped embedded broker, as an unclean election or a lost disk does."""

import itertools
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from support.topics import wait_until

from stream.broker.embedded import EmbeddedBroker

_HEADER_BYTES = 61  # of a batch header with magic 2; the records follow
_IS_CONTROL = 0x20
_DERIVED = (".index", ".timeindex", ".txnindex", ".snapshot")  # Kafka rebuilds these from the log


@dataclass(frozen=True, slots=True)
class LogBatch:
    """A batch of records in a log file.

    Attributes:
        start: offset of its first record.
        end: offset after its last record.
        position: position of its first byte in the file.
        bytes_end: position after its last byte.
        is_marker: whether it ends a transaction.
    """

    start: int
    end: int
    position: int
    bytes_end: int
    is_marker: bool


Keep = Callable[[Sequence[LogBatch]], int]
"""Returns how many batches of a log to keep."""


def without_last_transaction(batches: Sequence[LogBatch]) -> int:
    """Keep everything before the last complete transaction."""
    markers = [number for number, batch in enumerate(batches) if batch.is_marker]
    return markers[-2] + 1 if len(markers) > 1 else 0


def within_transaction(batches: Sequence[LogBatch]) -> int:
    """Keep the first batch of the last transaction that has several, and nothing after it."""
    starts = [0, *(number + 1 for number, batch in enumerate(batches) if batch.is_marker)]
    return max(start for start, end in itertools.pairwise(starts) if end - start > 2) + 1


def first_half(batches: Sequence[LogBatch]) -> int:
    return len(batches) // 2


def size_of(broker: EmbeddedBroker, topic: str, partition: int) -> int:
    """Return the size of the log in bytes."""
    return _active_segment(broker, topic, partition).stat().st_size


def cut(broker: EmbeddedBroker, topic: str, partition: int, keep: Keep | int) -> int:
    """Cut the log of a stopped broker to some batches, or to a size in bytes; return its new end."""
    assert broker.pid is None, "stop the broker first"
    segment = _active_segment(broker, topic, partition)
    batches = _read_batches(segment)
    if isinstance(keep, int):
        kept = [batch for batch in batches if batch.bytes_end <= keep]
    else:
        kept = list(batches[: keep(batches)])
    end, size = (kept[-1].end, kept[-1].bytes_end) if kept else (batches[0].start, 0)
    assert end < batches[-1].end, "nothing was cut"
    with segment.open("r+b") as log:
        log.truncate(size)
    for path in segment.parent.iterdir():
        if path.suffix in _DERIVED:
            path.unlink()
    # Without this file, Kafka treats the stop as a crash and reads all logs again.
    (segment.parents[1] / ".kafka_cleanshutdown").unlink()
    return end


def check_cut(broker: EmbeddedBroker, topic: str, partition: int, end: int) -> None:
    """Check that a started broker accepted the cut end as the log's end, even if it wrote records since.

    The leader's new epoch starts there.
    """
    epochs = _active_segment(broker, topic, partition).parent / "leader-epoch-checkpoint"
    wait_until(lambda: int(epochs.read_text().split()[-1]) == end, 20, every=0.05)


def _active_segment(broker: EmbeddedBroker, topic: str, partition: int) -> Path:
    assert broker.data_dir is not None
    return max((broker.data_dir / "kafka" / f"{topic}-{partition}").glob("*.log"))


def _read_batches(segment: Path) -> list[LogBatch]:
    content, position, batches = segment.read_bytes(), 0, list[LogBatch]()
    while position + _HEADER_BYTES <= len(content):
        start, length = struct.unpack_from(">qi", content, position)
        (attributes, last_delta) = struct.unpack_from(">hi", content, position + 21)
        if length <= 0:  # preallocated space
            break
        end = position + 12 + length
        is_marker = bool(attributes & _IS_CONTROL)
        batches.append(LogBatch(start, start + last_delta + 1, position, end, is_marker))
        position = end
    return batches
