"""The partitions that are ours, and what state each is in.

assigned ──→ RESTORING ──→ RUNNING
              │  ↑  ↑        │ │
              ↓  │  └────────┘ │   in doubt: restore the tail again
            BLOCKED            │
              │                │
              └──→ CLOSED ←────┘   revoked, lost, stopped (from every state)
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from stream.core.totals import Totals
from stream.ports import Observer, Store


class PartitionState(StrEnum):
    """Where a partition of ours is in its life."""

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
    """One partition of ours.

    Attributes:
        number: of the input, of the count topic and of the store alike.
        state: changed by `move` alone.
        store: open once restore has begun.
        rejected_in_a_row: dead letters since the last result, as committed.
        totals: what the store holds, while it runs; read when they are first needed.
    """

    number: int
    state: PartitionState = PartitionState.RESTORING
    store: Store | None = None
    rejected_in_a_row: int = 0
    totals: Totals | None = None

    def move(self, state: PartitionState) -> None:
        """Go to another state."""
        assert state in _NEXT[self.state], f"partition {self.number}: {self.state} -> {state}"
        self.state, self.totals = state, None


class Assignment:
    """Owns the partitions; listens to the group. `on_closed` is told of each that goes."""

    def __init__(self, observer: Observer, on_closed: Callable[[int], None]) -> None:
        self._observer = observer
        self._on_closed = on_closed
        self._partitions: dict[int, Partition] = {}

    def __iter__(self) -> Iterator[Partition]:
        return iter(list(self._partitions.values()))

    def __getitem__(self, number: int) -> Partition:
        return self._partitions[number]

    def running(self) -> dict[int, Store]:
        """Return the stores of the partitions that run."""
        return {p.number: p.store for p in self if p.state is PartitionState.RUNNING and p.store is not None}

    def settled(self) -> bool:
        """Whether there is nothing to restore."""
        return all(p.state is PartitionState.RUNNING for p in self)

    def assigned(self, partitions: Sequence[int]) -> None:
        """Take partitions; each has its store restored before it runs."""
        for number in partitions:
            if number in self._partitions:  # one that we were not told we lost
                self._close(number)
            self._partitions[number] = Partition(number)
        self._observer.assigned(partitions)

    def revoked(self, partitions: Sequence[int]) -> None:
        """Give partitions up; no transaction is open, since none is while the group is polled."""
        for number in partitions:
            self._close(number)
        self._observer.revoked(partitions, lost=False)

    def lost(self, partitions: Sequence[int]) -> None:
        """Drop partitions that are somebody else's already."""
        for number in partitions:
            self._close(number)
        self._observer.revoked(partitions, lost=True)

    def close(self) -> None:
        """Give all up."""
        for number in list(self._partitions):
            self._close(number)

    def _close(self, number: int) -> None:
        partition = self._partitions.pop(number, None)
        if partition is None:
            return
        partition.move(PartitionState.CLOSED)
        self._on_closed(number)
        if partition.store is not None:
            partition.store.close()
            partition.store = None
