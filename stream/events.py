"""The events that a worker reports; logs, metrics and probes are built from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Committed:
    """What one transaction did.

    Attributes:
        records: number of input records, rejected ones included.
        items: number of items (words) in the records that were not rejected.
        results: number of results.
        rejected: reason -> number of dead letters.
        changes: number of changelog records.
        offsets: partition -> committed offset.
        seconds: phase -> duration in seconds.
    """

    records: int
    items: int
    results: int
    rejected: Mapping[str, int]
    changes: int
    offsets: Mapping[int, int]
    seconds: Mapping[str, float] = field(default_factory=dict)


class Observer(Protocol):
    """Receives the events of a worker. Calls must not raise or block."""

    def started(self) -> None:
        """The worker joined the group."""

    def ran_once(self) -> None:
        """The loop completed a pass."""

    def assigned(self, partitions: Sequence[int]) -> None:
        """The group assigned these partitions to the worker."""

    def revoked(self, partitions: Sequence[int], *, lost: bool) -> None:
        """The worker no longer owns these partitions; `lost`: the group removed the worker some time ago."""

    def restoring(self, partition: int, position: int, end_offset: int) -> None:
        """A restore reached `position`."""

    def restored(self, partition: int, records: int, seconds: float, input_offset: int) -> None:
        """The restore is complete; the partition runs from `input_offset`."""

    def blocked(self, partition: int, why: str, hint: str) -> None:
        """The partition stays paused until an operator follows `hint`."""

    def committed(self, what: Committed) -> None:
        """A transaction is committed and written to the stores."""

    def aborted(self, why: Exception) -> None:
        """A transaction was aborted and its input rewound."""

    def in_doubt(self, why: Exception) -> None:
        """The outcome of a transaction is unknown; the producer is replaced."""

    def retried(self, stage: str, attempt: int, why: Exception) -> None:
        """A stage failed and is retried."""

    def waiting(self, why: Exception) -> None:
        """The worker waits because Kafka is unavailable."""

    def resumed(self) -> None:
        """The worker no longer waits."""

    def set_aside(self, partition: int, why: str) -> None:
        """An unusable store was renamed; a new one is restored."""

    def stopping(self, why: str) -> None:
        """The worker stops."""
