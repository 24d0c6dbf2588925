"""Counts dead letters by reason, stage and fingerprint."""

from array import array
from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from stream.core.replay import read_origin, read_replayed
from stream.tools.dead_letters.selection import Selection
from stream.tools.dead_letters.stored import StoredDeadLetter, generalized
from stream.tools.kafka.topic_reader import StoredRecord


@dataclass(slots=True)
class Kind:
    """Dead letters with the same error.

    Attributes:
        error: the message, with `#` for each number.
        replayed: how many of them were replayed.
        first_ms, last_ms: when the first and the last of them was rejected, in ms since 1970.
        example: position of the last of them.
    """

    reason: str
    stage: str
    fingerprint: str
    error: str
    first_ms: int
    last_ms: int
    example: str
    number: int = 0
    replayed: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the fields for programs."""
        return {name: getattr(self, name) for name in self.__slots__}


class Summary:
    """Counts the records of the dead-letter topic as they are read, each partition in log order.

    It takes about 16 bytes per dead letter, to match those that later records list as replayed.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._kinds: dict[tuple[str, str, str], int] = {}
        self._offsets = defaultdict[int, "array[int]"](lambda: array("q"))
        self._kind_of = defaultdict[int, "array[int]"](lambda: array("q"))
        self.kinds: list[Kind] = []

    @property
    def number(self) -> int:
        """Number of dead letters."""
        return sum(kind.number for kind in self.kinds)

    def add(self, record: StoredRecord) -> None:
        """Count a record: a dead letter, or a list of replayed dead letters."""
        if (replayed := read_replayed(record.headers)) is not None:
            self._add_replayed(record.partition, replayed)
            return
        letter = StoredDeadLetter(record)
        if read_origin(record.headers) is None or not self._selection.matches(letter):
            return
        key = letter.reason, letter.header("dead-letter.stage"), letter.fingerprint
        time_ms = letter.failed_at_ms
        number = self._kinds.setdefault(key, len(self.kinds))
        if number == len(self.kinds):
            error = generalized(letter.message)
            self.kinds.append(Kind(*key, error, time_ms, time_ms, letter.position))
        kind = self.kinds[number]
        kind.number += 1
        kind.first_ms, kind.last_ms = min(kind.first_ms, time_ms), max(kind.last_ms, time_ms)
        kind.example = letter.position
        self._offsets[record.partition].append(record.offset)
        self._kind_of[record.partition].append(number)

    def _add_replayed(self, partition: int, ranges: list[tuple[int, int]]) -> None:
        offsets = self._offsets[partition]
        for first, last in ranges:
            for index in range(bisect_left(offsets, first), bisect_right(offsets, last)):
                self.kinds[self._kind_of[partition][index]].replayed += 1
