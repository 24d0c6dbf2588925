"""Records of one partition in columns: creating an object per record would cost more than counting it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar, overload

from stream.core.records import Header, InputRecord, OutputRecord

Record = TypeVar("Record", InputRecord, OutputRecord)


class _Columns(Sequence[Record], Generic[Record]):
    """A sequence of records that share their first two fields; the other fields are lists."""

    __slots__ = ()
    topic: str
    partition: int
    _record: ClassVar[type]

    @classmethod
    def empty(cls, topic: str, partition: int) -> Self:
        """Return empty columns."""
        return cls(topic, partition, *([] for _ in fields(cls)[2:]))  # type: ignore[arg-type, call-arg]

    @classmethod
    def of(cls, records: Iterable[Record]) -> Self:
        """Return the columns of at least one record; all have the same topic and partition."""
        (topic, *topics), (partition, *partitions), *columns = map(list, zip(*records, strict=True))
        assert {topic} >= set(topics)
        assert {partition} >= set(partitions)
        return cls(topic, partition, *columns)  # type: ignore[call-arg]

    def __len__(self) -> int:
        return len(self._columns()[0])

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Record | Self:
        make: Any = type(self) if isinstance(index, slice) else self._record
        made: Record | Self = make(self.topic, self.partition, *(column[index] for column in self._columns()))
        return made

    def __iter__(self) -> Iterator[Record]:
        for columns in zip(*self._columns(), strict=True):
            yield self._record(self.topic, self.partition, *columns)

    def take(self, number: int) -> Self:
        """Remove and return the first `number` records."""
        taken = self[:number]
        for column in self._columns():
            del column[:number]
        return taken

    def select(self, positions: Iterable[int]) -> Self:
        """Return the records at these positions."""
        wanted = list(positions)
        columns = ([column[position] for position in wanted] for column in self._columns())
        return type(self)(self.topic, self.partition, *columns)  # type: ignore[call-arg]

    def _columns(self) -> list[list[Any]]:
        return [getattr(self, field.name) for field in fields(self)[2:]]  # type: ignore[arg-type]


@dataclass(slots=True)
class InputRecords(_Columns[InputRecord]):
    """Input records of one partition, in the order of the log."""

    _record = InputRecord
    topic: str
    partition: int
    offsets: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]
    headers: list[Sequence[Header]]
    timestamps_ms: list[int | None]


def by_partition(records: Iterable[InputRecord]) -> dict[int, InputRecords]:
    """Return the columns of each partition, with its records in the given order."""
    sorted_out = defaultdict[int, list[InputRecord]](list)
    for record in records:
        sorted_out[record.partition].append(record)
    return {number: InputRecords.of(records) for number, records in sorted_out.items()}


@dataclass(slots=True)
class OutputRecords(_Columns[OutputRecord]):
    """Records of one input partition that are produced to one topic, in order."""

    _record = OutputRecord
    topic: str
    partition: int
    keys: list[bytes | None]
    values: list[bytes | None]
    headers: list[Sequence[Header]]
    timestamps_ms: list[int | None]


class Outputs(NamedTuple):
    """The results and dead letters of some records of one input partition."""

    results: OutputRecords
    dead_letters: Sequence[OutputRecord]

    @classmethod
    def of(cls, results: Iterable[OutputRecord], dead_letters: Sequence[OutputRecord] = ()) -> Self:
        """Combine results, all of one topic and partition, with dead letters."""
        columns = list(results)
        return cls(OutputRecords.of(columns) if columns else OutputRecords.empty("", 0), dead_letters)
