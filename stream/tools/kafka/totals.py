"""Reads the totals of all signatures from the count topic."""

from collections import Counter
from collections.abc import Callable

from stream.config import Settings
from stream.core.counts import decode_total
from stream.core.processed_offset import PROCESSED_KEY
from stream.errors import Fatal
from stream.tools.kafka.committed import committed_ranges, read_committed

_PROGRESS_RECORDS = 5_000  # between two calls of `on_progress`


def read_totals(settings: Settings, on_progress: Callable[[int, int], None]) -> Counter[str]:
    """Return the totals by signature, summed over all partitions.

    `on_progress` takes the offsets read so far and the offsets to read. Memory is bounded by the number of
    signatures in the dictionary, times the number of partitions.

    Raises:
        Refused: the broker is unavailable.
        Fatal: the topic is missing, or contains a value that is not a total.
    """
    topic = settings.count_topic
    ranges = committed_ranges(settings, topic)
    values: dict[int, dict[bytes, bytes]] = {partition: {} for partition in ranges}
    positions = {partition: first for partition, (first, _) in ranges.items()}
    begin, end = sum(positions.values()), sum(end for _, end in ranges.values())
    for number, record in enumerate(read_committed(settings, topic)):
        of_partition = values.setdefault(record.partition, {})
        if record.key == PROCESSED_KEY:
            continue
        if record.value is None:
            of_partition.pop(record.key or b"", None)
        else:
            of_partition[record.key or b""] = record.value
        positions[record.partition] = record.offset + 1
        if number % _PROGRESS_RECORDS == 0:
            on_progress(sum(positions.values()) - begin, end - begin)
    totals: Counter[str] = Counter()
    for partition, of_partition in values.items():
        for key, value in of_partition.items():
            try:
                totals[key.decode("ascii")] += decode_total(value)
            except ValueError as error:
                raise Fatal(f"partition {partition} of {topic} has an invalid total: {error}") from error
    return totals
