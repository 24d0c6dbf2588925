"""What `run` needs of the world. `kafka/` and `store/` promise it, and so do the fakes of `testing/`.

Offsets are always "next to read": a committed offset, a position and an end offset compare directly.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from stream.core.records import Header, InputRecord, OutputRecord
from stream.events import Committed as Committed  # noqa: PLC0414 - one place to import ports from
from stream.events import Observer as Observer  # noqa: PLC0414 - the same

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Changes = Mapping[bytes, bytes]
"""Signature -> new total, as they stand in the count topic and in the store."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records gathered for one transaction, and the group that owns their partitions.

    `records` are in order within each partition, and only of partitions that are started. `group` is the
    group's metadata as of the poll that brought the first record; later metadata could belong to a
    membership that no longer owns these partitions. `behind`: more may wait; nobody was waited for.
    """

    records: list[InputRecord] = field(default_factory=list)
    group: object = None
    behind: bool = False


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """A committed offset of the input, and whether totals stand behind it.

    `counted`: there are totals of records before it. In the commit's metadata: a lost count topic is noticed.
    """

    offset: int
    counted: bool


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Restore begins at `changelog_offset`; totals stand for input before `input_offset`, None: for none."""

    changelog_offset: int
    input_offset: int | None


@dataclass(frozen=True, slots=True)
class ChangelogChunk:
    """What one read of a partition's changelog brought, and the position after it: `records` so many.

    `changes` are the last total of each signature, `processed_offset` the last headers that say how far totals go.
    """

    partition: int
    changes: Changes
    records: int
    processed_offset: Sequence[Header]
    position: int


class AssignmentListener(Protocol):
    """Told of the group's decisions from within `Source.poll_batch`, and only there."""

    def assigned(self, partitions: Sequence[int]) -> None:
        """These partitions are ours from now on; they are paused until `Source.start`."""

    def revoked(self, partitions: Sequence[int]) -> None:
        """These partitions go to somebody else when this returns."""

    def lost(self, partitions: Sequence[int]) -> None:
        """These partitions went to somebody else a while ago."""


class Source(Protocol):
    """The input topic, as one member of the consumer group."""

    def subscribe(self, listener: AssignmentListener) -> None:
        """Join the group."""

    def poll_batch(self, wait_s: float) -> Batch:
        """Return a batch, empty after `wait_s` without a record. No other call serves rebalances.

        Raises:
            Retriable: the consumer reported a passing error.
            Fatal: a record went missing, or the group will not have us.
        """

    def committed(self, partitions: Sequence[int]) -> Mapping[int, CommittedOffset | None]:
        """Return the group's stable committed offsets: those of no open transaction. None: none.

        Raises:
            Retriable: not known (yet): a transaction is still open, or the broker is away.
        """

    def offset_range(self, partition: int) -> tuple[int, int]:
        """Return the first offset and the end offset of the input partition.

        Raises:
            Retriable: the broker is away.
        """

    def start(self, partition: int, offset: int) -> None:
        """Begin or go on to deliver an assigned partition from `offset`.

        Raises:
            Retriable: the assignment has not settled yet.
        """

    def stop(self, partition: int) -> None:
        """Deliver nothing of this partition until `start`."""

    def rewind(self, offsets: Mapping[int, int]) -> None:
        """Deliver these partitions again from these offsets; what was buffered of them is dropped."""

    def close(self) -> None:
        """Leave the group."""


class Sink(Protocol):
    """The transactional producer. All but `reset_producer` and `close` may raise Abortable, InDoubt, Fatal."""

    def check(self, partition: int) -> None:
        """Make sure that results and totals of this partition have a place to go.

        Raises:
            Blocked: the result topic or the count topic lacks the partition.
            Retriable: the broker is away.
        """

    def begin(self) -> None:
        """Begin a transaction."""

    def produce(self, records: Iterable[OutputRecord]) -> None:
        """Add results and dead letters."""

    def produce_changelog(self, partition: int, changes: Changes, headers: Sequence[Header]) -> None:
        """Add changed totals; the last of them carries `headers`."""

    def send_offsets(self, offsets: Mapping[int, CommittedOffset], group: object) -> None:
        """Add the group's new committed offsets."""

    def commit(self) -> Mapping[int, int]:
        """Commit; return, by partition with changes, the changelog offset to restore from."""

    def commit_wait_s(self) -> float:
        """Return how long the last commit waited for Kafka."""

    def abort(self) -> None:
        """Abort the open transaction."""

    def reset_producer(self) -> None:
        """Throw the producer away and begin with a new one of the same id, which fences the old.

        Raises:
            Retriable: the broker is away or a transaction of the same id is still being ended.
            Fatal: the id may not be used.
        """

    def close(self) -> None:
        """Close; an open transaction is aborted, by the next of this id at the latest."""


class Store(Protocol):
    """The totals of one partition. Written only after a commit, or by restore."""

    @property
    def checkpoint(self) -> Checkpoint | None:
        """What the last write said; None for a new store."""

    def write(self, changes: Changes, checkpoint: Checkpoint) -> None:
        """Write totals and checkpoint in one atomic batch.

        Raises:
            Fatal: the disk would not take it; nothing was written.
        """

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        """Iterate over all totals."""

    def figures(self) -> Mapping[str, int]: ...

    def close(self) -> None:
        """Close; closing twice is harmless."""


class Stores(Protocol):
    """The stores of one worker."""

    def open(self, partition: int) -> Store:
        """Open the partition's store; one of another cluster, topic, dictionary or format is set aside first.

        Raises:
            Fatal: it is in use, or the disk will not have it.
        """

    def set_aside(self, partition: int, why: str) -> None:
        """Put a closed store under another name, so that `open` begins anew."""


class ChangelogReader(Protocol):
    """Committed records of the count topic, of several partitions at once."""

    def offset_range(self, partition: int) -> tuple[int, int]:
        """Return first offset and high watermark (never the last stable offset, KAFKA-10167).

        Raises:
            Retriable: the broker is away.
        """

    def start(self, partition: int, offset: int) -> None:
        """Read this partition, too, from `offset`."""

    def read(self, wait_s: float) -> Sequence[ChangelogChunk]:
        """Return what came; the positions count commit markers, which take offsets too.

        Raises:
            Retriable: the broker is away.
        """

    def stop(self, partition: int) -> None:
        """Read this partition no more."""

    def close(self) -> None:
        """Close; `start` opens again."""


class Joined(Protocol[T_co]):
    """Work that goes on aside."""

    def result(self) -> T_co:
        """Wait for its end; raise what it raised."""


class Aside(Protocol):
    """Does one thing at a time, beside the caller."""

    def submit(self, work: Callable[[], T], /) -> Joined[T]:
        """Begin it."""


class Clock(Protocol):
    """Time, passed in so that tests own it. In seconds; of `monotonic` only differences mean something."""

    def monotonic(self) -> float: ...
    def now(self) -> float: ...
    def sleep(self, seconds: float) -> None:
        """Return after `seconds`, or early when the worker is asked to stop."""
