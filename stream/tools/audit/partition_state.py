"""The state that an audit keeps of a partition between two rounds."""

from array import array
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass, field

from stream.core.processed_offset import ProcessedOffset, read_processed_offset
from stream.tools.audit.join import PartitionJoin
from stream.tools.kafka.topic_reader import StoredRecord

_RESERVED = b"\x00"  # no total has a key that starts with it


@dataclass(slots=True)
class PartitionState:
    """The state of a partition between two rounds.

    Attributes:
        input_position: the next offset to read in the input; the next two likewise for their topics.
        outcomes_from: retention may have deleted the results of earlier input.
        is_whole: no input and no result was deleted before it was read, so the sum covers all input.
        totals: the latest total of each signature in the count topic.
        transaction_starts: the first offset of each transaction in the count topic.
        transaction_ends: the last record's offset of each transaction in the count topic.
        transaction_start: the first offset of a transaction whose last record has not been read yet.
    """

    join: PartitionJoin
    input_position: int = 0
    result_position: int = 0
    count_position: int = 0
    outcomes_from: int = 0
    is_whole: bool = True
    totals: dict[bytes, bytes] = field(default_factory=dict)
    processed_offset: ProcessedOffset | None = None
    transaction_starts: "array[int]" = field(default_factory=lambda: array("q"))
    transaction_ends: "array[int]" = field(default_factory=lambda: array("q"))
    transaction_start: int | None = None

    def add_total(self, record: StoredRecord) -> None:
        """Add a record of the count topic."""
        key = record.key or b""
        if not key.startswith(_RESERVED):
            self.totals[key] = record.value or b""
        start = record.offset if self.transaction_start is None else self.transaction_start
        self.transaction_start = start
        with suppress(ValueError):  # a foreign record: its total differs from the sum
            processed_offset = read_processed_offset(record.headers)
            if processed_offset is not None:
                self.processed_offset = processed_offset
                self.transaction_starts.append(start)
                self.transaction_ends.append(record.offset)
                self.transaction_start = None

    def is_within_transaction(self, position: int) -> bool:
        """Whether a changelog position is inside a transaction: a restore was interrupted there."""
        number = bisect_left(self.transaction_ends, position)
        return number < len(self.transaction_ends) and self.transaction_starts[number] < position
