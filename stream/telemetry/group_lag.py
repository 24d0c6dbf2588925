"""The lag of the group on every input partition, owned by a worker or not, and how long it has stalled.

A partition may have no owner, or its owner may be a group member that is not a worker of this application.
Such a member may even commit offsets: a commit without this application's metadata is not progress here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from stream.core.evidence import COUNTED, CommittedOffset
from stream.ports import Clock

Span = tuple[int, int]
Rows = Mapping[tuple[str, ...], float]


class AtOffset(Protocol):
    """A record of the input."""

    @property
    def offset(self) -> int: ...


FindRecords = Callable[[Mapping[int, Span]], Mapping[int, AtOffset]]
"""Return the first record in each span (partition -> start, end) that has one. Raises StreamError."""


@dataclass(slots=True)
class _Partition:
    """The state of a partition.

    Attributes:
        position: the last offset that this application committed; -1 if the group has none.
        since_s: time of that commit, or when the lag was last 0; monotonic.
        searched_to: there is no record from the position up to here, only markers and aborted records.
        first_record: offset of the first record from the position on; -1 while none is known.
    """

    position: int
    since_s: float
    searched_to: int = -1
    first_record: int = -1


class GroupLag:
    """Computes the group's lag from the offsets of each poll; used by one thread."""

    def __init__(self, clock: Clock, find_records: FindRecords) -> None:
        self._clock = clock
        self._find_records = find_records
        self._partitions: dict[int, _Partition] = {}

    def update(
        self,
        first_offsets: Mapping[int, int],
        last_stable_offsets: Mapping[int, int],
        committed: Mapping[int, CommittedOffset],
    ) -> tuple[Rows, Rows]:
        """Return, by partition, the lag in records and the seconds for which it has not been reduced.

        A marker or an aborted record takes an offset, too. So if a committed offset has not moved since the
        last poll, this method searches for a record: a lag without any record is 0.

        Raises:
            StreamError: the records cannot be read.
        """
        now = self._clock.monotonic()
        spans: dict[int, Span] = {}
        unmoved: dict[int, Span] = {}
        for number, first in first_offsets.items():
            has_moved = self._move(number, committed.get(number), now)
            partition = self._partitions[number]
            start, end = max(first, partition.position), last_stable_offsets.get(number, first)
            spans[number] = start, end
            searched = max(start, partition.searched_to)
            if not has_moved and partition.first_record < start and searched < end:
                unmoved[number] = searched, end
        self._search(unmoved)
        records: dict[tuple[str, ...], float] = {}
        seconds: dict[tuple[str, ...], float] = {}
        for number, (start, end) in spans.items():
            partition = self._partitions[number]
            lag = max(0, end - start) if partition.searched_to < end else 0
            if not lag:
                partition.since_s = now
            records[str(number),], seconds[str(number),] = lag, now - partition.since_s
        return records, seconds

    def _move(self, number: int, committed: CommittedOffset | None, now: float) -> bool:
        """Apply a new committed offset; return whether this application has moved it."""
        position = -1 if committed is None else committed.offset
        partition = self._partitions.get(number)
        if partition is None:
            self._partitions[number] = _Partition(position, now)
            return False
        if position == partition.position or (committed is not None and not _is_own(committed)):
            return False
        self._partitions[number] = _Partition(position, now)
        return True

    def _search(self, spans: Mapping[int, Span]) -> None:
        records = self._find_records(spans) if spans else {}
        for number, (_, end) in spans.items():
            partition = self._partitions[number]
            if (record := records.get(number)) is not None:
                partition.first_record = record.offset
            else:
                partition.searched_to = end


def _is_own(committed: CommittedOffset) -> bool:
    """Whether this application wrote the commit; versions without evidence wrote `COUNTED`."""
    return committed.evidence is not None or committed.metadata == COUNTED
