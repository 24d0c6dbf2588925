"""A store whose restore was interrupted within a transaction matches no input offset."""

import pytest

from stream.core.dictionary import build_index
from stream.core.processed_offset import ProcessedOffset
from stream.tools.audit.expected import ExpectedOutcomes
from stream.tools.audit.join import PartitionJoin
from stream.tools.audit.partition_state import PartitionState
from stream.tools.audit.verdict import Verdict
from stream.tools.kafka.topic_reader import StoredRecord


def new_partition() -> PartitionState:
    return PartitionState(PartitionJoin(0, ExpectedOutcomes(build_index(["cat"]), "text", 9), Verdict()))


def total(offset: int, processed_offset: ProcessedOffset | None = None, key: bytes = b"act") -> StoredRecord:
    headers = processed_offset.headers() if processed_offset else ()
    return StoredRecord("counts", 0, offset, key, b"1", headers, 0)


@pytest.mark.parametrize(
    ("position", "is_within"),
    [(0, False), (1, True), (2, True), (3, False), (4, False), (5, True), (6, False), (7, False)],
)
def test_position_between_the_records_of_a_transaction_is_within_it(
    position: int,
    is_within: bool,  # noqa: FBT001
) -> None:
    partition = new_partition()
    # Two transactions: offsets 0 to 2 with a marker at 3, offsets 4 and 5 with a marker at 6.
    for record in (
        total(0),
        total(1),
        total(2, ProcessedOffset(5, "d")),
        total(4),
        total(5, ProcessedOffset(9, "d")),
    ):
        partition.add_total(record)
    assert partition.is_within_transaction(position) is is_within
    assert partition.processed_offset == ProcessedOffset(9, "d")


def test_reserved_key_is_not_a_total_but_its_headers_count() -> None:
    partition = new_partition()
    partition.add_total(total(0, ProcessedOffset(1, "d")))
    partition.add_total(total(2, ProcessedOffset(7, "d"), key=b"\x00processed"))
    assert partition.totals == {b"act": b"1"}
    assert partition.processed_offset == ProcessedOffset(7, "d")
    assert not partition.is_within_transaction(2)
