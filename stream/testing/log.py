"""One partition's log: records, and the transaction markers between them, which take offsets too."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

from stream.core.records import Header

_offset = attrgetter("offset")


@dataclass(frozen=True, slots=True)
class Record:
    """What a producer sends."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()
    timestamp_ms: int | None = None


@dataclass(slots=True)
class Share:
    """What one transaction wrote to one partition.

    Attributes:
        first_offset: the first offset of its records, and a limit of the last stable offset while it is open.
        committed: the outcome in its marker; None until the marker is written.
    """

    first_offset: int
    committed: bool | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One offset of the log.

    Attributes:
        record: None for a marker.
        share: the share of the transaction that wrote it; None outside a transaction.
    """

    offset: int
    record: Record | None
    share: Share | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """The entries with records that a read returned, and the position after them, markers included."""

    entries: Sequence[Entry]
    position: int


class PartitionLog:
    """Entries in the order of their offsets; compaction leaves gaps between them.

    Attributes:
        first_offset: the log start offset.
        high_watermark: the offset that the next entry will take.
    """

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._open: list[Share] = []
        self._epochs = [(0, 0)]
        self.first_offset = 0
        self.high_watermark = 0

    @property
    def last_stable_offset(self) -> int:
        """The start of the first open transaction: read_committed readers see nothing from there on."""
        return min((share.first_offset for share in self._open), default=self.high_watermark)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def share(self) -> Share:
        """Open a transaction's share at the end of the log."""
        share = Share(self.high_watermark)
        self._open.append(share)
        return share

    def append(self, record: Record, share: Share | None = None) -> int:
        """Append a record; return its offset."""
        assert share is None or share.committed is None
        return self._append(record, share)

    def mark(self, share: Share, *, commit: bool) -> None:
        """End a transaction's share: write its marker."""
        assert share.committed is None
        share.committed = commit
        self._open.remove(share)
        self._append(None, share)

    def read(self, position: int, records_max: int, *, committed: bool = True) -> Fetched:
        """Read from `position` as a read_committed reader does, or as a read_uncommitted one."""
        limit = self.last_stable_offset if committed else self.high_watermark
        entries: list[Entry] = []
        for index in range(bisect_left(self._entries, position, key=_offset), len(self._entries)):
            entry = self._entries[index]
            if entry.offset >= limit:
                break
            if entry.record is None or (committed and entry.share is not None and not entry.share.committed):
                continue
            if len(entries) == records_max:
                return Fetched(entries, entry.offset)
            entries.append(entry)
        return Fetched(entries, max(position, limit))

    def compact(self, *, rolled: bool = False) -> None:
        """Keep the last committed record of each key, below the first open transaction.

        The last entry of the log is in the active segment and stays. If that segment was `rolled`, only
        records stay: the log may then end in markers that are deleted, with an unchanged end offset.
        """
        limit = self.last_stable_offset
        if self._entries and not rolled:
            limit = min(limit, self._entries[-1].offset)
        last: dict[bytes | None, int] = {}
        for entry in self._entries:
            if entry.offset < limit and _is_committed(entry) and entry.record is not None:
                last[entry.record.key] = entry.offset
        kept = set(last.values())
        self._entries = [entry for entry in self._entries if entry.offset >= limit or entry.offset in kept]

    def trim(self, first_offset: int) -> None:
        """Let retention delete the records before `first_offset`."""
        assert self.first_offset <= first_offset <= self.high_watermark
        self.first_offset = first_offset
        del self._entries[: bisect_left(self._entries, first_offset, key=_offset)]

    def truncate(self, end: int) -> None:
        """Lose everything from `end` on, as in an unclean leader election; the next leader epoch starts."""
        assert not self._open
        del self._entries[bisect_left(self._entries, end, key=_offset) :]
        epoch = self._epochs[-1][0] + 1
        self._epochs = [(known, start) for known, start in self._epochs if start < end]
        self._epochs.append((epoch, end))
        self.high_watermark = end

    @property
    def leader_epoch(self) -> int:
        return self._epochs[-1][0]

    def epoch_of(self, offset: int) -> int:
        """Return the leader epoch of a record."""
        return next(epoch for epoch, start in reversed(self._epochs) if start <= offset)

    def end_of_epoch(self, epoch: int) -> int:
        """Return the end offset of a leader epoch, as OffsetForLeaderEpoch does (KIP-320)."""
        return next((start for later, start in self._epochs if later > epoch), self.high_watermark)

    def _append(self, record: Record | None, share: Share | None) -> int:
        offset = self.high_watermark
        self._entries.append(Entry(offset, record, share))
        self.high_watermark += 1
        return offset


def _is_committed(entry: Entry) -> bool:
    return entry.share is None or entry.share.committed is True
