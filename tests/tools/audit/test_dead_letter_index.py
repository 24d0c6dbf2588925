from collections.abc import Sequence
from pathlib import Path

from stream.core.records import Header
from stream.core.skipped import SkippedRange
from stream.tools.audit.dead_letters import DeadLetterIndex
from stream.tools.kafka.topic_reader import StoredRecord


def stored(headers: Sequence[Header]) -> StoredRecord:
    return StoredRecord("dead", 0, 0, None, None, headers, 0)


def test_skipped_range_of_this_group_is_not_a_dead_letter(tmp_path: Path) -> None:
    own, other = SkippedRange(1, 3, 9), SkippedRange(1, 0, 99)
    with DeadLetterIndex(tmp_path, "blobs", "counters") as index:
        without_source = index.add(
            [
                stored(own.headers("blobs", "counters")),
                stored(other.headers("blobs", "others")),
                stored(other.headers("elsewhere", "counters")),
            ]
        )
        assert (without_source, index.remaining(), index.skipped) == (0, 0, [own])
        assert not list(index.take(1))


def test_skipped_range_with_wrong_offsets_is_a_dead_letter_that_must_have_a_reason(tmp_path: Path) -> None:
    headers = [*SkippedRange(1, 3, 9).headers("blobs", "counters"), ("skipped.to", b"end")]
    with DeadLetterIndex(tmp_path, "blobs", "counters") as index:
        index.add([stored(headers)])
        assert [each.reason for each in index.take(1)] == ["skipped"]
