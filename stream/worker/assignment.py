"""The partitions that this worker owns, and the state of each.

assigned ──→ RESTORING ──→ RUNNING
              │  ↑  ↑        │ │
              ↓  │  └────────┘ │   in doubt: restore the tail again
            BLOCKED            │
              │                │
              └──→ CLOSED ←────┘   revoked, lost, stopped (from every state)
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from stream.core.evidence import Appended, LogEnd, LogEnds, advance_ends, check_held
from stream.core.fold import ChangedTotals, Changes, Fold, Totals
from stream.core.processed_offset import PROCESSED_KEY
from stream.core.resume import START_OVER
from stream.errors import Abortable, Refused, Retriable
from stream.ports import Checkpoint, Store


@dataclass(frozen=True, slots=True)
class StateUpdates:
    """What one transaction changes in the state; complete when the whole batch is processed.

    Attributes:
        offsets: partition -> offset of the next record, for every partition with processed records.
        changed: partition -> its changed totals; only partitions that have some.
        rejected_in_a_row: partition -> rejections since its last result.
        first_rejected: partition -> offset of the first of these rejections.
        unprocessed: partition -> offset of the first record that is left for the next transaction.
        records: number of input records, rejected ones included.
        items: number of items that the fold counted in the records that were not rejected.
        rejected: reason -> number of dead letters.
        processing_s: seconds that processing the records took.
    """

    offsets: Mapping[int, int]
    changed: Mapping[int, ChangedTotals]
    rejected_in_a_row: Mapping[int, int] = field(default_factory=dict)
    first_rejected: Mapping[int, int] = field(default_factory=dict)
    unprocessed: Mapping[int, int] = field(default_factory=dict)
    records: int = 0
    items: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    processing_s: float = 0.0

    def changelog(self, number: int) -> Changes:
        """Return the changelog records of a partition, at least one: the last has the processed offset."""
        if number in self.changed:
            return self.changed[number].changes
        return {PROCESSED_KEY: b"%d" % self.offsets[number]}


RequestEnds = Callable[[Mapping[int, LogEnds]], Mapping[int, LogEnds]]


class PartitionState(StrEnum):
    """The states of a partition's life cycle."""

    RESTORING = "restoring"
    RUNNING = "running"
    BLOCKED = "blocked"
    CLOSED = "closed"


_NEXT = {
    PartitionState.RESTORING: {PartitionState.RUNNING, PartitionState.BLOCKED, PartitionState.CLOSED},
    PartitionState.RUNNING: {PartitionState.RESTORING, PartitionState.CLOSED},
    PartitionState.BLOCKED: {PartitionState.RESTORING, PartitionState.CLOSED},
    PartitionState.CLOSED: set[PartitionState](),
}


@dataclass(slots=True)
class Partition:
    """One partition that this worker owns.

    Attributes:
        number: the same in the input, the result topic, the count topic and the store.
        state: changed by `move` only.
        store: open from the start of restore.
        totals: the content of the store in memory, while the partition runs; loaded on first use.
        rejected_in_a_row: dead letters since the last result, as of the last commit.
        first_rejected: input offset of the first of these.
        ends: ends of the logs with its outcomes, as of the last commit.
        changelog_end: the changelog offset where its restore ended.
    """

    number: int
    state: PartitionState = PartitionState.RESTORING
    store: Store | None = None
    totals: Totals | None = None
    rejected_in_a_row: int = 0
    first_rejected: int = 0
    ends: LogEnds = field(default_factory=dict)
    changelog_end: int = 0

    def move(self, state: PartitionState) -> None:
        """Change the state; the totals are loaded again afterwards."""
        assert state in _NEXT[self.state], f"partition {self.number}: {self.state} -> {state}"
        self.state, self.totals = state, None

    def load_totals(self, fold: Fold) -> Totals:
        """Return the totals; the first call after the partition starts to run reads the store.

        Raises:
            Refused: the store contains totals that no worker writes.
            Fatal: the store cannot be read.
        """
        if self.totals is None:
            try:
                self.totals = fold.load(self.open_store.items())
            except (ValueError, OverflowError) as error:
                raise Refused(
                    f"the store of partition {self.number} contains totals that no worker writes: {error}",
                    START_OVER,
                ) from error
        return self.totals

    @property
    def open_store(self) -> Store:
        """The store; it is open while the partition runs."""
        assert self.store is not None
        return self.store


class Assignment:
    """The partitions of this worker, and their stores."""

    def __init__(self) -> None:
        self._partitions: dict[int, Partition] = {}

    def __iter__(self) -> Iterator[Partition]:
        return iter(list(self._partitions.values()))

    def __getitem__(self, number: int) -> Partition:
        return self._partitions[number]

    def running(self) -> dict[int, Store]:
        """Return the stores of running partitions."""
        return {p.number: p.open_store for p in self if p.state is PartitionState.RUNNING}

    def is_settled(self) -> bool:
        """Whether no partition is restoring or blocked."""
        return all(partition.state is PartitionState.RUNNING for partition in self)

    def totals(self) -> dict[int, Totals]:
        """Return the totals that are in memory."""
        return {p.number: p.totals for p in self if p.totals is not None}

    def add(self, number: int) -> None:
        """Add a partition; its store is restored before it runs."""
        self._partitions[number] = Partition(number)

    def remove(self, number: int) -> None:
        """Remove a partition and close its store."""
        partition = self._partitions.pop(number, None)
        if partition is None:
            return
        partition.move(PartitionState.CLOSED)
        if partition.store is not None:
            partition.store.close()
            partition.store = None

    def check_logs(self, log_ends: RequestEnds, roles: Mapping[int, Iterable[str]]) -> None:
        """Check that the logs contain what was committed; `log_ends` is the sink's, `roles` are by partition.

        Raises:
            LogsChanged: a log was truncated.
            Abortable: the broker is unavailable.
        """
        known = {
            number: {role: end for role, end in self[number].ends.items() if role in names}
            for number, names in roles.items()
        }
        known = {number: ends for number, ends in known.items() if ends}
        try:
            held = log_ends(known) if known else {}
        except Retriable as reason:
            raise Abortable(str(reason)) from reason
        for number, ends in known.items():
            check_held(ends, held[number])
            self[number].ends = {**self[number].ends, **held[number]}

    def advance_ends(self, appended: Mapping[int, Mapping[str, Appended]]) -> dict[int, LogEnds]:
        """Return the ends of the logs after a transaction, by partition.

        Raises:
            LogsChanged: a log is shorter than it was.
        """
        ends = {}
        for number, by_role in appended.items():
            known = dict(self[number].ends)
            # Markers may follow the last committed record, and an earlier version wrote no ends.
            count = known.get("count", LogEnd(number, 0))
            known["count"] = count._replace(offset=max(count.offset, self[number].changelog_end))
            ends[number] = advance_ends(known, by_role)
        return ends

    def apply(self, updates: StateUpdates, ends: Mapping[int, LogEnds]) -> None:
        """Apply a committed transaction to the stores and to memory.

        Raises:
            Fatal: a write failed (a full disk). The transaction is committed; a restart restores the tail.
        """
        for number, offset in updates.offsets.items():
            partition, changed = self[number], updates.changed.get(number)
            checkpoint = Checkpoint(ends[number]["count"].offset, offset)
            partition.open_store.write(changed.changes if changed else {}, checkpoint)
            partition.ends = ends[number]
            if changed:
                changed.apply()
        for number, rejected in updates.rejected_in_a_row.items():
            self[number].rejected_in_a_row = rejected
            self[number].first_rejected = updates.first_rejected.get(number, 0)

    def close(self) -> None:
        """Remove all partitions and close their stores."""
        for partition in self:
            self.remove(partition.number)
