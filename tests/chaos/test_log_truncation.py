import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from stream.tools.chaos.log_truncation import (
    LogBatch,
    Truncation,
    has_transaction,
    kept,
    log_ends,
    read_batches,
    truncate_log,
)

DATA, MARKER = False, True


def log(*kinds: bool) -> list[LogBatch]:
    return [LogBatch(n, n + 1, 80 * (n + 1), is_marker) for n, is_marker in enumerate(kinds)]


def content(batches: Sequence[LogBatch]) -> bytes:
    """Return batches of 80 bytes each, as Kafka stores them."""
    encoded = b""
    for batch in batches:
        head = struct.pack(">qiibI", batch.start, 68, 0, 2, 0)
        attributes = struct.pack(">hi", 0x20 if batch.is_marker else 0, batch.end - batch.start - 1)
        encoded += (head + attributes).ljust(80, b"\0")
    return encoded


def write_log(data_dir: Path, folder: str, batches: Sequence[LogBatch]) -> Path:
    (data_dir / folder).mkdir(parents=True)
    (data_dir / ".kafka_cleanshutdown").touch()
    segment = data_dir / folder / "00000000000000000000.log"
    segment.write_bytes(content(batches))
    segment.with_suffix(".index").touch()
    return segment


def test_batches_are_read_up_to_an_incomplete_one() -> None:
    batches = log(DATA, DATA, MARKER)
    assert read_batches(content(batches) + b"\0" * 100) == batches
    assert read_batches(content(batches)[:-30])[:2] == batches[:2]


@pytest.mark.parametrize(
    ("kinds", "number"),
    [
        ((DATA, DATA, DATA, DATA), 2),
        ((DATA, MARKER, DATA, MARKER), 2),
        ((DATA, MARKER, DATA, DATA, DATA, MARKER), 2),
        ((DATA, DATA, DATA, MARKER), 0),
        ((DATA, MARKER), 0),
    ],
)
def test_half_of_a_log_is_kept_without_an_open_transaction(kinds: Sequence[bool], number: int) -> None:
    assert kept(log(*kinds)) == number


def test_longest_log_of_the_topic_is_truncated_and_its_derived_files_are_deleted(
    tmp_path: Path,
) -> None:
    short = write_log(tmp_path, "results-0", log(DATA, MARKER))
    long = write_log(tmp_path, "results-12", log(DATA, MARKER, DATA, MARKER))
    write_log(tmp_path, "results-2024-0", log(*[DATA, MARKER] * 9))  # another topic
    assert truncate_log(tmp_path, "results") == Truncation(12, 4, 2)
    assert read_batches(long.read_bytes()) == log(DATA, MARKER)
    assert len(read_batches(short.read_bytes())) == 2
    assert not long.with_suffix(".index").exists()
    assert short.with_suffix(".index").exists()
    assert not (tmp_path / ".kafka_cleanshutdown").exists()


def test_log_without_a_marker_has_no_transaction(tmp_path: Path) -> None:
    write_log(tmp_path, "results-0", log(DATA))
    assert not has_transaction(tmp_path, "results")
    write_log(tmp_path, "results-1", log(DATA, MARKER))
    assert has_transaction(tmp_path, "results")


def test_end_of_a_log_is_the_offset_after_its_last_record(tmp_path: Path) -> None:
    write_log(tmp_path, "blobs-0", log(DATA, DATA, DATA))
    write_log(tmp_path, "blobs-1", log(DATA))
    write_log(tmp_path, "blobs-2", [])
    assert log_ends(tmp_path, "blobs") == {0: 3, 1: 1}
