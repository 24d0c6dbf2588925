"""An observer that keeps the events of a worker."""

from collections.abc import Sequence

from stream.events import Committed


class FakeObserver:
    """Keeps events in order.

    Attributes:
        events: (name of the method, its arguments).
    """

    def __init__(self) -> None:
        self.events: list[tuple[str, object]] = []

    def names(self) -> list[str]:
        """Return the names of the events."""
        return [name for name, _ in self.events]

    def of(self, name: str) -> list[object]:
        """Return the details of each event of this name."""
        return [details for event, details in self.events if event == name]

    def started(self) -> None:
        self.events.append(("started", None))

    def ran_once(self) -> None:
        pass  # not kept: there are too many

    def assigned(self, partitions: Sequence[int]) -> None:
        self.events.append(("assigned", list(partitions)))

    def revoked(self, partitions: Sequence[int], *, lost: bool) -> None:
        self.events.append(("lost" if lost else "revoked", list(partitions)))

    def restoring(self, partition: int, position: int, end_offset: int) -> None:
        self.events.append(("restoring", (partition, position, end_offset)))

    def restored(self, partition: int, records: int, seconds: float, input_offset: int) -> None:
        del seconds
        self.events.append(("restored", (partition, records, input_offset)))

    def blocked(self, partition: int, why: str, hint: str) -> None:
        self.events.append(("blocked", (partition, why, hint)))

    def committed(self, committed: Committed) -> None:
        self.events.append(("committed", committed))

    def aborted(self, why: Exception) -> None:
        self.events.append(("aborted", why))

    def in_doubt(self, why: Exception) -> None:
        self.events.append(("in_doubt", why))

    def retried(self, stage: str, attempt: int, why: Exception) -> None:
        del why
        self.events.append(("retried", (stage, attempt)))

    def waiting(self, why: Exception) -> None:
        self.events.append(("waiting", why))

    def resumed(self) -> None:
        self.events.append(("resumed", None))

    def set_aside(self, partition: int, why: str) -> None:
        self.events.append(("set_aside", (partition, why)))

    def stopping(self, why: str) -> None:
        self.events.append(("stopping", why))
