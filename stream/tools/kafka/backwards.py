"""Reads the last committed records of all partitions of a topic, from their ends backwards."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from stream.errors import Refused, Retriable
from stream.kafka.clients import Admin, Options
from stream.kafka.offsets import offset_ranges
from stream.tools.kafka.topic_reader import StoredRecord, read_topic
from stream.worker.startup import retry_for

WINDOW_OFFSETS, GROWTH = 100, 10  # size of the first window, and growth factor of the next ones
RETRY_S = 0.1
OPEN_TRANSACTION_HINT = (
    "run the command again after the transaction timeout of the workers; abort a hanging transaction with "
    "your cluster's administration tool (KIP-664)"
)

Item = TypeVar("Item")
Ranges = Mapping[int, tuple[int, int]]
"""Partition -> first offset and end."""


class _OpenTransaction(Retriable):
    """A transaction below the end is open."""


def decided_ranges(admin: Admin, topic: str, partitions: Sequence[int], wait_s: float) -> Ranges:
    """Return the first offsets and the high watermarks, once no transaction below them is open.

    Raises:
        Retriable: the broker is unavailable.
        Refused: a transaction stays open.
    """
    ranges = offset_ranges(admin, topic, partitions)

    def check() -> None:
        stable = offset_ranges(admin, topic, partitions, stable=True)
        if unstable := [p for p, (_, end) in ranges.items() if stable[p][1] < end]:
            raise _OpenTransaction(f"a transaction is open in {topic}, partition {unstable[0]}")

    try:
        retry_for(check, wait_s, RETRY_S)
    except _OpenTransaction as why:
        raise Refused(f"{why}, for more than {wait_s:.0f} s", OPEN_TRANSACTION_HINT) from why
    return ranges


def read_backwards(  # noqa: PLR0913 - what to read, and when to stop
    options: Options,
    admin: Admin,
    topic: str,
    ranges: Ranges,
    *,
    extract: Callable[[StoredRecord], Item | None],
    is_enough: Callable[[int, Sequence[Item]], bool],
    offsets_max: int | None = None,
) -> tuple[dict[int, list[Item]], set[int]]:
    """Return what `extract` returns for the last records, by partition and in log order.

    Growing windows of offsets are read from the end backwards, until `is_enough` returns True or the log
    starts. The second result contains the partitions that were given up after `offsets_max` offsets.

    Raises:
        Retriable: the broker is unavailable.
    """
    items: dict[int, list[Item]] = {partition: [] for partition in ranges}
    start = {partition: end for partition, (first, end) in ranges.items() if first < end}
    window, left = WINDOW_OFFSETS, set[int]()
    while start:
        ends = dict(start)
        start = {p: max(ranges[p][0], end - window) for p, end in ends.items()}
        before: dict[int, list[Item]] = {partition: [] for partition in start}
        for record in read_topic(options, admin, topic, start=dict(start), ends=ends):
            if (item := extract(record)) is not None:
                before[record.partition].append(item)
        for partition, offset in list(start.items()):
            items[partition] = before[partition] + items[partition]
            first, end = ranges[partition]
            is_bound = offsets_max is not None and end - offset >= offsets_max
            if is_enough(partition, items[partition]) or offset == first:
                del start[partition]
            elif is_bound:
                left.add(partition)
                del start[partition]
        window *= GROWTH
    return items, left
