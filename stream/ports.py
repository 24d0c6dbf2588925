"""The interfaces of the worker to Kafka, the disk and the clock.

`kafka/`, `store/` and `testing/` implement them. An offset is always that of the next record, so committed
offsets, positions and end offsets can be compared.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol, Self

from stream.core.columns import InputRecords, Outputs, by_partition
from stream.core.evidence import Appended, CommittedOffset, LogEnds, TopicIds
from stream.core.fold import Changes
from stream.core.records import Header, InputRecord


@dataclass(slots=True)
class Batch:
    """Records polled for one transaction. Processing empties it, so call `start_offsets` before.

    Attributes:
        records: partition -> its records, at least one; only of resumed partitions.
        group_metadata: as of the poll that brought the first record. Later metadata could belong to a
            membership that no longer owns these partitions.
        leader_epochs: partition -> leader epoch of its last record, if known.
    """

    records: dict[int, InputRecords] = field(default_factory=dict)
    group_metadata: object = None
    leader_epochs: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        records: Iterable[InputRecord],
        group_metadata: object = None,
        leader_epochs: Mapping[int, int] | None = None,
    ) -> Self:
        """Return a batch of these records; those of a partition are in order."""
        return cls(by_partition(records), group_metadata, leader_epochs or {})

    def start_offsets(self) -> dict[int, int]:
        """Return the offset of the first record of each partition."""
        return {number: records.offsets[0] for number, records in self.records.items()}

    def __iter__(self) -> Iterator[InputRecord]:
        return chain.from_iterable(self.records.values())


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The position of a store in the changelog and in the input.

    Attributes:
        changelog_offset: restore starts here.
        input_offset: the totals cover all input before it; None if nothing was counted.
        is_restoring: a restore has not reached the end of the changelog yet, so that the totals may cover
            a part of the input after `input_offset`, too.
    """

    changelog_offset: int
    input_offset: int | None
    is_restoring: bool = False


@dataclass(frozen=True, slots=True)
class ChangelogChunk:
    """The changelog records of one partition that one read returned.

    Attributes:
        changes: key -> its last total in the chunk.
        records: number of records.
        records_end: the offset after the last record; 0 without records.
        processed_offset: the headers of the last record that has a `ProcessedOffset`; empty if no record has.
        position: the next offset to read.
    """

    partition: int
    changes: Changes
    records: int
    processed_offset: Sequence[Header]
    position: int
    records_end: int = 0


class AssignmentListener(Protocol):
    """Receives changes of the assignment, during `Source.poll_batch` only."""

    def assigned(self, partitions: Sequence[int]) -> None:
        """This worker owns these partitions now. They are paused until `Source.resume_from`."""

    def revoked(self, partitions: Sequence[int]) -> None:
        """Another worker owns these partitions when this call returns."""

    def lost(self, partitions: Sequence[int]) -> None:
        """The group removed this worker some time ago; another worker may own these partitions already."""


class Source(Protocol):
    """The input topic, as one member of the consumer group."""

    def subscribe(self, listener: AssignmentListener) -> None:
        """Join the group."""

    def poll_batch(self, wait_s: float) -> Batch:
        """Return a batch, empty if no record arrives for `wait_s`. Only this call serves rebalances.

        Raises:
            Retriable: the consumer reported a transient error.
            Fatal: a record is missing, the log was truncated, or the group does not accept this member.
        """

    def committed(self, partitions: Sequence[int]) -> Mapping[int, CommittedOffset | None]:
        """Return the group's committed offsets once they are stable: no open transaction can change them.

        Raises:
            Retriable: a transaction is still open, or the broker is unavailable.
        """

    def offset_range(self, partition: int) -> tuple[int, int]:
        """Return the first offset and the end offset of the input partition.

        Raises:
            Retriable: the broker is unavailable.
        """

    def resume_from(self, partition: int, offset: int, leader_epoch: int) -> None:
        """Deliver an assigned partition from `offset`; `leader_epoch` of the record before, -1 if unknown.

        Raises:
            Retriable: the assignment has not settled yet.
        """

    def pause(self, partition: int) -> None:
        """Deliver no record of this partition until `resume_from`."""

    def rewind(self, offsets: Mapping[int, int]) -> None:
        """Deliver these partitions again from these offsets; discard their buffered records."""

    def close(self) -> None:
        """Leave the group."""


class Sink(Protocol):
    """The transactional producer. Calls from `begin` to `abort` may raise Abortable, InDoubt and Fatal."""

    @property
    def topic_ids(self) -> TopicIds:
        """The ids of the four topics that this worker started with."""

    def check(self, partition: int) -> None:
        """Check that the result topic and the count topic have this partition.

        Raises:
            Blocked: a topic lacks it.
            Retriable: the broker is unavailable.
        """

    def check_topics(self) -> None:
        """Check that the four topics are those that the worker started with.

        Raises:
            LogsChanged: a topic was deleted, or created again.
            Retriable: the broker is unavailable.
        """

    def log_ends(self, ends: Mapping[int, LogEnds]) -> Mapping[int, LogEnds]:
        """Return up to which offsets the logs still match these ends, with the current leader epochs.

        Argument and result are by input partition; all partitions are requested at once.

        An offset is the given one if the log still contains the record before it. It is less if the log was
        truncated, even if the log has grown beyond that offset since.

        Raises:
            Retriable: the broker is unavailable.
        """

    def has_outcomes(self, partition: int) -> bool:
        """Whether the output topics contain a committed result or dead letter of this partition and group.

        Raises:
            Retriable: the broker is unavailable.
        """

    def begin(self) -> None:
        """Begin a transaction."""

    def produce(self, outputs: Outputs) -> None:
        """Add results and dead letters of one partition."""

    def produce_changelog(self, partition: int, changes: Changes, headers: Sequence[Header]) -> None:
        """Add changed totals; the last record carries `headers`."""

    def flush(self) -> Mapping[int, Mapping[str, Appended]]:
        """Wait until all records are in their logs; return what was appended, by input partition and role."""

    def send_offsets(self, offsets: Mapping[int, CommittedOffset], group_metadata: object) -> None:
        """Add the group's new committed offsets."""

    def commit(self) -> None:
        """Commit.

        Raises:
            LogsChanged: a topic was deleted or created again since the worker started; nothing is committed.
                The input and count topics are checked after the last record was delivered, so no input from
                a new topic of the same name is committed, and no total is written to one.
        """

    def abort(self) -> None:
        """Abort the open transaction."""

    def reset_producer(self) -> None:
        """Replace the producer with a new one of the same transactional id, which fences the old one.

        Raises:
            Retriable: the broker is unavailable, or the id's last transaction is not complete yet.
            Fatal: Kafka does not let this worker use the id.
        """

    def close(self) -> None:
        """Close. The next producer with this id, or the timeout, aborts an open transaction."""


class Store(Protocol):
    """The totals of one partition. Written only after a commit, or by restore."""

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint of the last write; None for a new store."""

    def write(self, changes: Changes, checkpoint: Checkpoint) -> None:
        """Write totals and checkpoint in one atomic batch.

        Raises:
            Fatal: the write failed, and nothing was written.
        """

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        """Iterate over all totals, in the order of their keys."""

    def figures(self) -> Mapping[str, int]:
        """Return the estimated number of `keys`, and other measurements of the store."""

    def close(self) -> None:
        """Close; closing twice is harmless."""


class Stores(Protocol):
    """The stores of one worker."""

    def open(self, partition: int) -> Store:
        """Open the partition's store; a store of another cluster, topic, digest or format is set aside first.

        Raises:
            Retriable: another process uses the store.
            Fatal: the store cannot be opened on this disk.
        """

    def set_aside(self, partition: int, why: str) -> None:
        """Rename a closed store, so that `open` creates a new one."""


class ChangelogReader(Protocol):
    """Reads the committed records of the count topic, of several partitions at once."""

    def offset_range(self, partition: int) -> tuple[int, int]:
        """Return the first offset and the high watermark (never the last stable offset, KAFKA-10167).

        Raises:
            Retriable: the broker is unavailable.
        """

    def start(self, partition: int, offset: int) -> None:
        """Read this partition too, from `offset`."""

    def read(self, wait_s: float) -> Sequence[ChangelogChunk]:
        """Return new records; the positions include transaction markers, which take offsets too.

        Raises:
            Retriable: the broker is unavailable.
        """

    def stop(self, partition: int) -> None:
        """Stop reading this partition."""

    def close(self) -> None:
        """Close; `start` opens again."""


class Clock(Protocol):
    """Time in seconds, passed in so that tests control it. Only differences of `monotonic` are meaningful."""

    def monotonic(self) -> float: ...
    def now(self) -> float:
        """Return the seconds since the epoch."""

    def sleep(self, seconds: float) -> None:
        """Return after `seconds`, or early if the worker is asked to stop."""
