"""What was counted -> what one transaction commits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from stream.core.limits import rejected_in_a_row
from stream.core.resume import START_OVER
from stream.core.totals import Grown, Totals
from stream.errors import Fatal, Refused
from stream.ports import Changes, Committed, CommittedOffset, Store
from stream.run.assignment import Assignment, Partition
from stream.run.process import Part, Processed
from stream.run.transaction import Work


@dataclass(frozen=True, slots=True)
class Limits:
    """What the loop holds to.

    Attributes:
        rejected_in_a_row_max: 0 is no limit.
        dictionary: its digest.
        signatures: of the dictionary, sorted.
    """

    rejected_in_a_row_max: int
    dictionary: str
    signatures: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Counted:
    """A batch that was counted and is not committed.

    Attributes:
        first: by partition, the offset of its first record.
        group: the group's metadata as of the poll that brought it.
        processed: what came of it.
        seconds: how long that took.
    """

    first: dict[int, int]
    group: object
    processed: Processed
    seconds: float

    def drop(self, partition: int) -> None:
        """Drop what is of a partition that is no longer ours: whoever has it now begins there."""
        self.first.pop(partition, None)
        self.processed.parts.pop(partition, None)
        self.processed.undone.pop(partition, None)


@dataclass(frozen=True, slots=True)
class Staged:
    """A transaction's work, and what is ours to remember once it is committed.

    Attributes:
        work: what is sent.
        grown: partition -> totals that it changes.
        rejected_in_a_row: partition -> dead letters since the last result.
    """

    work: Work
    grown: Mapping[int, Grown]
    rejected_in_a_row: Mapping[int, int]

    def remember(self, assignment: Assignment) -> None:
        """Keep what is committed now."""
        for number, grown in self.grown.items():
            totals = assignment[number].totals
            if totals is not None:
                totals.take(grown)
        for number, run in self.rejected_in_a_row.items():
            assignment[number].rejected_in_a_row = run


def stage(counted: Counted, assignment: Assignment, limits: Limits) -> Staged:
    """Add what was counted to the totals, as they are after the last commit.

    Raises:
        Fatal: too many rejections in a row; or the store cannot be read.
    """
    parts = counted.processed.parts
    runs = {number: _rejections(assignment[number], part, limits) for number, part in parts.items()}
    grown, changes = dict[int, Grown](), dict[int, Changes]()
    for number, part in parts.items():
        if len(part.ids):
            totals = _totals(assignment[number], limits.signatures)
            grown[number] = totals.grow(part.ids)
            changes[number] = totals.encode(grown[number])
    stores = assignment.running()
    work = Work(
        records=chain.from_iterable(part.taken() for part in parts.values()),
        staged=changes,
        offsets={
            number: CommittedOffset(part.next_offset, number in changes or _has_counted(stores[number]))
            for number, part in parts.items()
        },
        group=counted.group,
        dictionary=limits.dictionary,
    )
    return Staged(work, grown, runs)


def committed(counted: Counted, staged: Staged, seconds: float) -> Committed:
    """Return what a transaction did; `seconds`: how long it took."""
    parts = counted.processed.parts.values()
    rejected: dict[str, int] = {}
    for why in chain.from_iterable(part.rejected.values() for part in parts):
        rejected[why.reason.value] = rejected.get(why.reason.value, 0) + 1
    records = sum(part.size for part in parts)
    return Committed(
        records=records,
        words=sum(part.words for part in parts),
        results=records - sum(rejected.values()),
        rejected=rejected,
        changes=sum(map(len, staged.work.staged.values())),
        offsets={number: at.offset for number, at in staged.work.offsets.items()},
        seconds={"process": counted.seconds, "transaction": seconds},
    )


def _totals(partition: Partition, signatures: Sequence[bytes]) -> Totals:
    if partition.totals is None:
        assert partition.store is not None, "it runs"
        try:
            partition.totals = Totals(signatures, partition.store.items())
        except (ValueError, OverflowError) as error:
            raise Refused(
                f"partition {partition.number} holds totals that no worker wrote: {error}", START_OVER
            ) from error
    return partition.totals


def _has_counted(store: Store) -> bool:
    return store.checkpoint is not None and store.checkpoint.input_offset is not None


def _rejections(partition: Partition, part: Part, limits: Limits) -> int:
    try:
        return rejected_in_a_row(
            partition.rejected_in_a_row, part.was_rejected(), limits.rejected_in_a_row_max
        )
    except Fatal as error:
        last = part.rejected[max(part.rejected)]
        raise Fatal(
            f"{error}; the last on partition {partition.number}, before offset {part.next_offset}: {last}"
        ) from error
