"""What is told of a worker: logs, metrics and probes are made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Committed:
    """What one transaction did.

    `records` are input records, rejected ones among them; `words` are those of the others; `rejected` is dead
    letters by reason, `changes` changelog records, `offsets` the input's next, `seconds` the time by phase.
    """

    records: int
    words: int
    results: int
    rejected: Mapping[str, int]
    changes: int
    offsets: Mapping[int, int]
    seconds: Mapping[str, float] = field(default_factory=dict)


class Observer(Protocol):
    """Told what happened; logs, metrics and probes are made of it. Calls must not raise or block."""

    def started(self) -> None:
        """The worker joined the group."""

    def turned(self) -> None:
        """The loop went round once."""

    def assigned(self, partitions: Sequence[int]) -> None:
        """The group gave us these."""

    def revoked(self, partitions: Sequence[int], *, lost: bool) -> None:
        """The group took these."""

    def restoring(self, partition: int, position: int, end_offset: int) -> None:
        """A step of restore was made."""

    def restored(self, partition: int, records: int, seconds: float, input_offset: int) -> None:
        """The partition runs, from `input_offset`."""

    def blocked(self, partition: int, why: str, hint: str) -> None:
        """The partition stays paused until `hint` was done."""

    def committed(self, what: Committed) -> None:
        """A transaction committed and is in the store."""

    def aborted(self, why: Exception) -> None:
        """A transaction was aborted and its input rewound."""

    def in_doubt(self, why: Exception) -> None:
        """The producer is being replaced."""

    def retried(self, stage: str, attempt: int, why: Exception) -> None:
        """A stage failed and is tried again."""

    def waiting(self, why: Exception) -> None:
        """The surroundings are away; the worker waits."""

    def resumed(self) -> None:
        """What `waiting` waited for is back."""

    def set_aside(self, partition: int, why: str) -> None:
        """A store could not be used and lies under another name now; a new one is restored."""

    def stopping(self, why: str) -> None:
        """The worker drains."""
