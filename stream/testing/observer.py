"""An observer that keeps what it was told."""

from collections.abc import Sequence

from stream.events import Committed


class FakeObserver:
    """Keeps what happened, in order.

    Attributes:
        events: the method's name and what it was told.
    """

    def __init__(self) -> None:
        self.events: list[tuple[str, object]] = []

    def names(self) -> list[str]:
        """Return what happened, without the details."""
        return [name for name, _ in self.events]

    def of(self, name: str) -> list[object]:
        """Return the details of each event of this name."""
        return [what for event, what in self.events if event == name]

    def started(self) -> None:
        """The worker joined the group."""
        self.events.append(("started", None))

    def ran_once(self) -> None:
        """The loop went round once: not kept, there are too many."""

    def assigned(self, partitions: Sequence[int]) -> None:
        """The group gave us these."""
        self.events.append(("assigned", list(partitions)))

    def revoked(self, partitions: Sequence[int], *, lost: bool) -> None:
        """The group took these."""
        self.events.append(("lost" if lost else "revoked", list(partitions)))

    def restoring(self, partition: int, position: int, end_offset: int) -> None:
        """A step of restore was made."""
        self.events.append(("restoring", (partition, position, end_offset)))

    def restored(self, partition: int, records: int, seconds: float, input_offset: int) -> None:
        """The partition runs."""
        del seconds
        self.events.append(("restored", (partition, records, input_offset)))

    def blocked(self, partition: int, why: str, hint: str) -> None:
        """The partition stays paused."""
        self.events.append(("blocked", (partition, why, hint)))

    def committed(self, what: Committed) -> None:
        """A transaction committed and is in the store."""
        self.events.append(("committed", what))

    def aborted(self, why: Exception) -> None:
        """A transaction was aborted and its input rewound."""
        self.events.append(("aborted", why))

    def in_doubt(self, why: Exception) -> None:
        """The producer is being replaced."""
        self.events.append(("in_doubt", why))

    def retried(self, stage: str, attempt: int, why: Exception) -> None:
        """A stage failed and is tried again."""
        del why
        self.events.append(("retried", (stage, attempt)))

    def waiting(self, why: Exception) -> None:
        """The surroundings are away."""
        self.events.append(("waiting", why))

    def resumed(self) -> None:
        """What `waiting` waited for is back."""
        self.events.append(("resumed", None))

    def set_aside(self, partition: int, why: str) -> None:
        """A store could not be used."""
        self.events.append(("set_aside", (partition, why)))

    def stopping(self, why: str) -> None:
        """The worker drains."""
        self.events.append(("stopping", why))
