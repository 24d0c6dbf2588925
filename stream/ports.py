"""The interfaces between the worker and the world, implemented by `kafka/`, `store/` and `testing/`.

An offset always names the next record to read, so that committed offset, position and end offset compare
directly.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stream.core.fold import Changes
from stream.core.records import Header, InputRecord, OutputRecord, first_offsets


@dataclass(frozen=True, slots=True)
class Batch:
    """Records polled for one transaction.

    Attributes:
        records: in order within each partition, only of partitions that are resumed.
        group_metadata: as of the poll that brought the first record. Later metadata could belong to a
            membership that no longer owns these partitions.
    """

    records: list[InputRecord] = field(default_factory=list)
    group_metadata: object = None

    def start_offsets(self) -> dict[int, int]:
        """Return the offset of the first record of each partition."""
        return first_offsets(self.records)


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """A committed offset of the input.

    Attributes:
        has_totals: records before it were counted. Kept in the commit's metadata, so that the loss of the
            count topic is noticed.
    """

    offset: int
    has_totals: bool


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a store goes.

    Attributes:
        changelog_offset: restore starts here.
        input_offset: the totals cover all input before it; None if nothing was counted.
    """

    changelog_offset: int
    input_offset: int | None


@dataclass(frozen=True, slots=True)
class ChangelogChunk:
    """Changelog records of one partition that one read returned.

    Attributes:
        changes: key -> the last total among them.
        records: their number.
        processed_offset: the last headers among them that say how far totals go; empty if there are none.
        position: after them.
    """

    partition: int
    changes: Changes
    records: int
    processed_offset: Sequence[Header]
    position: int


class AssignmentListener(Protocol):
    """Receives the group's decisions, during `Source.poll_batch` only."""

    def assigned(self, partitions: Sequence[int]) -> None:
        """This worker owns these partitions now. They are paused until `Source.resume_from`."""

    def revoked(self, partitions: Sequence[int]) -> None:
        """Another worker owns these partitions when this call returns."""

    def lost(self, partitions: Sequence[int]) -> None:
        """Another worker has owned these partitions for a while."""


class Source(Protocol):
    """The input topic, as one member of the consumer group."""

    def subscribe(self, listener: AssignmentListener) -> None:
        """Join the group."""

    def poll_batch(self, wait_s: float) -> Batch:
        """Return a batch; an empty one after `wait_s` without a record. Only this call serves rebalances.

        Raises:
            Retriable: the consumer reported a transient error.
            Fatal: a record is missing, or the group does not accept this member.
        """

    def committed(self, partitions: Sequence[int]) -> Mapping[int, CommittedOffset | None]:
        """Return the group's committed offsets, only stable ones: those of no open transaction.

        Raises:
            Retriable: they are not known yet: a transaction is still open, or the broker is unavailable.
        """

    def offset_range(self, partition: int) -> tuple[int, int]:
        """Return the first offset and the end offset of the input partition.

        Raises:
            Retriable: the broker is unavailable.
        """

    def resume_from(self, partition: int, offset: int) -> None:
        """Deliver an assigned partition from `offset`.

        Raises:
            Retriable: the assignment has not settled yet.
        """

    def pause(self, partition: int) -> None:
        """Deliver no record of this partition until `resume_from`."""

    def rewind(self, offsets: Mapping[int, int]) -> None:
        """Deliver these partitions again from these offsets; discard what is buffered of them."""

    def close(self) -> None:
        """Leave the group."""


class Sink(Protocol):
    """The transactional producer. Calls from `begin` to `abort` may raise Abortable, InDoubt and Fatal."""

    def check(self, partition: int) -> None:
        """Make sure that the result topic and the count topic have this partition.

        Raises:
            Blocked: one of them lacks it.
            Retriable: the broker is unavailable.
        """

    def begin(self) -> None:
        """Begin a transaction."""

    def produce(self, records: Iterable[OutputRecord]) -> None:
        """Add results and dead letters."""

    def produce_changelog(self, partition: int, changes: Changes, headers: Sequence[Header]) -> None:
        """Add changed totals; the last record carries `headers`."""

    def send_offsets(self, offsets: Mapping[int, CommittedOffset], group_metadata: object) -> None:
        """Add the group's new committed offsets."""

    def commit(self) -> Mapping[int, int]:
        """Commit; return, for each partition with changes, the changelog offset to restore from."""

    def abort(self) -> None:
        """Abort the open transaction."""

    def reset_producer(self) -> None:
        """Replace the producer by a new one with the same transactional id, which fences the old one.

        Raises:
            Retriable: the broker is unavailable, or a transaction of the same id is still being ended.
            Fatal: the id may not be used.
        """

    def close(self) -> None:
        """Close. An open transaction is aborted by the next producer with this id, or by its timeout."""


class Store(Protocol):
    """The totals of one partition. Written only after a commit, or by restore."""

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint of the last write; None for a new store."""

    def write(self, changes: Changes, checkpoint: Checkpoint) -> None:
        """Write totals and checkpoint in one atomic batch.

        Raises:
            Fatal: the disk did not take it; nothing was written.
        """

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        """Iterate over all totals, in the order of their keys."""

    def figures(self) -> Mapping[str, int]:
        """Return `keys` (estimated), and what else the store measures of itself."""

    def close(self) -> None:
        """Close; closing twice is harmless."""


class Stores(Protocol):
    """The stores of one worker."""

    def open(self, partition: int) -> Store:
        """Open the partition's store; one of another cluster, topic, digest or format is set aside first.

        Raises:
            Fatal: it is in use, or the disk cannot hold it.
        """

    def set_aside(self, partition: int, why: str) -> None:
        """Rename a closed store, so that `open` creates a new one."""


class ChangelogReader(Protocol):
    """Committed records of the count topic, of several partitions at once."""

    def offset_range(self, partition: int) -> tuple[int, int]:
        """Return the first offset and the high watermark (never the last stable offset, KAFKA-10167).

        Raises:
            Retriable: the broker is unavailable.
        """

    def start(self, partition: int, offset: int) -> None:
        """Read this partition, too, from `offset`."""

    def read(self, wait_s: float) -> Sequence[ChangelogChunk]:
        """Return new records; the positions include commit markers, which take offsets too.

        Raises:
            Retriable: the broker is unavailable.
        """

    def stop(self, partition: int) -> None:
        """Stop reading this partition."""

    def close(self) -> None:
        """Close; `start` opens again."""


class Clock(Protocol):
    """Time in seconds, passed in so that tests control it. Only differences of `monotonic` have a meaning."""

    def monotonic(self) -> float: ...
    def now(self) -> float:
        """Return the seconds since the epoch."""

    def sleep(self, seconds: float) -> None:
        """Return after `seconds`, or early if the worker is asked to stop."""
