"""Input records of a batch: how many, and their conversion with C functions only, as it is done for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import itemgetter

from confluent_kafka import Message

from stream.core.records import InputRecord
from stream.kafka.headers import message_headers


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The largest size of a batch, and how long it is polled for."""

    records_max: int
    bytes_max: int
    interval_s: float


def append_records(
    records: list[InputRecord], topic: str, partition: int, messages: Sequence[Message]
) -> int:
    """Append the messages of a partition to `records`; return the size of their keys and values in bytes."""
    keys, values = list(map(Message.key, messages)), list(map(Message.value, messages))
    stamps = map(itemgetter(1), map(Message.timestamp, messages))
    columns = (
        repeat(topic), repeat(partition), map(Message.offset, messages),
        keys, values, map(message_headers, messages), stamps,
    )  # fmt: skip
    records.extend(map(InputRecord._make, zip(*columns, strict=False)))
    return sum(map(len, filter(None, keys))) + sum(map(len, filter(None, values)))
