"""A store whose restore was interrupted within a transaction stands for no input offset."""

import pytest

from stream.core.dictionary import build_index
from stream.core.processed_offset import ProcessedOffset
from stream.kafka.reader import StoredRecord
from stream.tools.audit.join import PartitionJoin
from stream.tools.audit.judge import Judge
from stream.tools.audit.verdict import Verdict
from stream.tools.audit.verify import _Partition


def partition() -> _Partition:
    return _Partition(PartitionJoin(0, Judge(build_index(["cat"]), "text", 9), Verdict()), 0, 0, 0)


def changed(offset: int, processed_offset: ProcessedOffset | None = None) -> StoredRecord:
    headers = processed_offset.headers() if processed_offset else ()
    return StoredRecord("counts", 0, offset, b"act", b"1", headers, 0)


@pytest.mark.parametrize(
    ("position", "midway"),
    [(0, False), (1, True), (2, True), (3, False), (4, False), (5, True), (6, False), (7, False)],
)
def test_position_within_a_transaction_is_midway(position: int, midway: bool) -> None:  # noqa: FBT001
    kept = partition()
    # offsets 0 to 2, a marker at 3; 4 and 5, a marker at 6
    for record in (
        changed(0),
        changed(1),
        changed(2, ProcessedOffset(5, "d")),
        changed(4),
        changed(5, ProcessedOffset(9, "d")),
    ):
        kept.total(record)
    assert kept.is_midway(position) is midway
    assert kept.processed_offset == ProcessedOffset(9, "d")
