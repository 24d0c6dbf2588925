"""Reads the totals of each partition and how far they go from the count topic."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stream.config import Settings
from stream.core.processed_offset import PROCESSED_KEY, read_processed_offset
from stream.errors import Fatal
from stream.tools.kafka.committed import committed_ranges, read_committed

PROGRESS_RECORDS = 5_000  # between two calls of `on_progress`


@dataclass(slots=True)
class CountedTotals:
    """The totals of one partition.

    Attributes:
        counted_to: the totals cover the input before this offset; None if nothing was counted.
        digest: digest of the dictionary that they were counted with, or "".
    """

    totals: dict[bytes, bytes] = field(default_factory=dict)
    counted_to: int | None = None
    digest: str = ""


def read_counted(
    settings: Settings,
    on_progress: Callable[[int, int], None] = lambda *_: None,
    kept: Callable[[int], bool] = lambda _: True,
) -> Mapping[int, CountedTotals]:
    """Return how far the totals of each partition go, and the totals themselves for the partitions `kept`.

    `on_progress` takes the number of offsets read so far and the number to read.

    Raises:
        Refused: the broker is unavailable.
        Fatal: the topic is missing, or contains a record that no worker writes.
    """
    topic = settings.count_topic
    ranges = committed_ranges(settings, topic)
    counted = {partition: CountedTotals() for partition in ranges}
    positions = {partition: first for partition, (first, _) in ranges.items()}
    begin, end = sum(positions.values()), sum(end for _, end in ranges.values())
    for number, record in enumerate(read_committed(settings, topic)):
        of_partition = counted.setdefault(record.partition, CountedTotals())
        if record.key != PROCESSED_KEY and kept(record.partition):
            of_partition.totals[record.key or b""] = record.value or b""
        try:
            processed = read_processed_offset(record.headers)
        except ValueError as error:
            where = f"{topic}, partition {record.partition}, offset {record.offset}"
            raise Fatal(f"{where}: no worker writes such a record: {error}") from error
        if processed is not None:
            of_partition.counted_to, of_partition.digest = processed.input_offset, processed.digest
        positions[record.partition] = record.offset + 1
        if number % PROGRESS_RECORDS == 0:
            on_progress(sum(positions.values()) - begin, end - begin)
    return counted
