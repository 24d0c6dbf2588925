"""The input records of a batch and their limits. Records are converted in bulk, with C functions only."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from confluent_kafka import Message

from stream.core.columns import InputRecords
from stream.core.records import Header
from stream.kafka.headers import message_headers


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The maximum size of a batch, and for how long it is polled."""

    records_max: int
    bytes_max: int
    interval_s: float


@dataclass(slots=True)
class Gathered:
    """The records of a batch that is being polled.

    Attributes:
        records: partition -> its records.
        number: the number of records.
        size: the size of their keys and values in bytes.
    """

    records: dict[int, InputRecords] = field(default_factory=dict)
    number: int = 0
    size: int = 0

    def add(self, topic: str, partition: int, messages: Sequence[Message]) -> None:
        """Add messages of one partition."""
        columns = self.records.get(partition)
        if columns is None:
            columns = self.records[partition] = InputRecords.empty(topic, partition)
        keys, values = list(map(Message.key, messages)), list(map(Message.value, messages))
        columns.offsets += map(Message.offset, messages)  # type: ignore[arg-type]  # records have one
        columns.keys += keys
        columns.values += values
        columns.headers += _headers(messages)
        columns.timestamps_ms += [timestamp_ms for _, timestamp_ms in map(Message.timestamp, messages)]
        self.number += len(messages)
        self.size += sum(map(len, filter(None, keys))) + sum(map(len, filter(None, values)))


def _headers(messages: Sequence[Message]) -> list[Sequence[Header]]:
    try:
        if not any(map(Message.headers, messages)):
            return [()] * len(messages)
    except (SystemError, UnicodeDecodeError):  # a name is not UTF-8
        pass
    return list(map(message_headers, messages))
