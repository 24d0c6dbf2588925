"""Results and dead letters -> what they say of which input record."""

from dataclasses import dataclass

import orjson

from stream.core.records import Header
from stream.kafka.reader import StoredRecord


@dataclass(slots=True)
class Outcome:
    """A result or a dead letter, and the input record that it names; `source` None: it names none."""

    record: StoredRecord
    source: tuple[str, int, int] | None
    letter: bool
    late: bool = False  # it lies behind the outcome of a later record

    @property
    def where(self) -> str:
        """Where it lies, for people."""
        return f"{self.record.topic}, partition {self.record.partition}, offset {self.record.offset}"


def read_result(record: StoredRecord) -> Outcome:
    """Read which input record a result is of."""
    try:
        source = orjson.loads(record.value or b"")["source"]
        named = source["topic"], source["partition"], source["offset"]
    except (ValueError, KeyError, TypeError):
        return Outcome(record, None, letter=False)
    topic, partition, offset = named
    readable = isinstance(topic, str) and type(partition) is int and type(offset) is int
    return Outcome(record, (topic, partition, offset) if readable else None, letter=False)


def read_letter(record: StoredRecord) -> Outcome:
    """Read which input record a dead letter is of."""
    headers = last_headers(record.headers)
    try:
        source = (
            headers["__streams.errors.topic"].decode(),
            int(headers["__streams.errors.partition"]),
            int(headers["__streams.errors.offset"]),
        )
    except (KeyError, ValueError):
        return Outcome(record, None, letter=True)
    return Outcome(record, source, letter=True)


def last_headers(headers: "list[Header] | tuple[Header, ...] | object") -> dict[str, bytes]:
    """Return the last value of each header."""
    assert isinstance(headers, (list, tuple))
    return {name: value or b"" for name, value in headers}
