"""Truncates the log of a partition of a stopped broker, as an unclean election or a lost disk does."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_HEADER_BYTES = 61  # of a batch, magic 2: its records follow
_IS_CONTROL = 0x20
_DERIVED = {".index", ".timeindex", ".txnindex", ".snapshot"}  # Kafka rebuilds these from the log


class LogBatch(NamedTuple):
    """A batch of records in a log file.

    Attributes:
        start: offset of its first record.
        end: offset after its last record.
        end_bytes: position in the file after its last byte.
        is_marker: whether it ends a transaction.
    """

    start: int
    end: int
    end_bytes: int
    is_marker: bool


class Truncation(NamedTuple):
    """A log that was truncated.

    Attributes:
        former: its end before.
        end: its end now.
    """

    partition: int
    former: int
    end: int


def truncate_log(data_dir: Path, topic: str) -> Truncation:
    """Truncate the longest log of a topic to half; `data_dir` is Kafka's own folder."""
    segments = [max(folder.glob("*.log")) for folder in _folders(data_dir, topic)]
    segment = max(segments, key=lambda path: len(read_batches(path.read_bytes())))
    batches = read_batches(segment.read_bytes())
    number = kept(batches)
    assert number < len(batches), f"{segment} has nothing to truncate"
    with segment.open("r+b") as log:
        log.truncate(batches[number - 1].end_bytes if number else 0)
    for path in segment.parent.iterdir():
        if path.suffix in _DERIVED:
            path.unlink()
    # Without this file, Kafka assumes a crash and reads all logs again.
    (data_dir / ".kafka_cleanshutdown").unlink()
    end = batches[number - 1].end if number else batches[0].start
    return Truncation(_partition(segment.parent), batches[-1].end, end)


def has_transaction(data_dir: Path, topic: str) -> bool:
    """Whether a log of the topic contains a transaction that ended."""
    return any(
        batch.is_marker
        for folder in _folders(data_dir, topic)
        for batch in read_batches(max(folder.glob("*.log")).read_bytes())
    )


def log_ends(data_dir: Path, topic: str) -> dict[int, int]:
    """Return partition -> the offset after its last record, for the logs of the topic that have records."""
    ends = {}
    for folder in _folders(data_dir, topic):
        if batches := read_batches(max(folder.glob("*.log")).read_bytes()):
            ends[_partition(folder)] = batches[-1].end
    return ends


def start_of_epoch(data_dir: Path, topic: str, partition: int) -> int:
    """Return the offset where the current leader epoch of a log starts."""
    text = (data_dir / f"{topic}-{partition}" / "leader-epoch-checkpoint").read_text(encoding="ascii")
    return int(text.split()[-1])


def kept(batches: Sequence[LogBatch]) -> int:
    """Return the number of batches that remain: half, without the start of a transaction that ended later."""
    number = len(batches) // 2
    if any(batch.is_marker for batch in batches):
        while number and not batches[number - 1].is_marker:
            number -= 1
    return number


def read_batches(content: bytes) -> list[LogBatch]:
    """Decode the content of a log file."""
    position, batches = 0, list[LogBatch]()
    while position + _HEADER_BYTES <= len(content):
        start, length = struct.unpack_from(">qi", content, position)
        (attributes, last_delta) = struct.unpack_from(">hi", content, position + 21)
        if length <= 0:  # preallocated space
            break
        position += 12 + length
        batches.append(LogBatch(start, start + last_delta + 1, position, bool(attributes & _IS_CONTROL)))
    return batches


def _folders(data_dir: Path, topic: str) -> list[Path]:
    return [
        path for path in data_dir.glob(f"{topic}-[0-9]*") if path.name.removeprefix(f"{topic}-").isdigit()
    ]


def _partition(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])
