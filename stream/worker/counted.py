"""What was counted -> what one transaction commits."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from stream.core.limits import rejected_in_a_row
from stream.core.records import OutputRecord
from stream.core.resume import START_OVER
from stream.core.totals import Grown, Totals
from stream.errors import Fatal, Refused
from stream.ports import Changes, Clock, Committed, CommittedOffset, Store
from stream.worker.assignment import Assignment, Partition
from stream.worker.processing import Part, Processed
from stream.worker.transaction import Staged, Work


@dataclass(frozen=True, slots=True)
class Limits:
    """What the loop holds to.

    Attributes:
        rejected_in_a_row_max: 0 is no limit.
        counting_s_max: how long a batch is counted within a transaction; what is left then is another's.
        dictionary: its digest.
        signatures: of the dictionary, sorted.
    """

    rejected_in_a_row_max: int
    counting_s_max: float
    dictionary: str
    signatures: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Counted:
    """A batch that is counted, now or as it is sent, and is not committed.

    Attributes:
        first: by partition, the offset of its first record.
        group: the group's metadata as of the poll that brought it.
        processed: what comes of it.
        seconds: how long it took to come so far, without counting.
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


class Sum:
    """Totals as they are after the last commit, and what a batch adds to them."""

    def __init__(self, counted: Counted, assignment: Assignment, limits: Limits, clock: Clock) -> None:
        """Raises Fatal: the store cannot be read."""
        self._parts = counted.processed.parts
        self._undone = counted.processed.undone
        self._group = counted.group
        self._partitions = {number: assignment[number] for number in self._parts}
        self._stores = assignment.running()
        self._limits = limits
        self._clock = clock
        self._totals = {n: _totals(each, limits.signatures) for n, each in self._partitions.items()}
        self._grown: dict[int, Grown] = {}
        self._runs: dict[int, int] = {}  # dead letters since the last result

    def work(self) -> Work:
        """Return what a transaction is made of."""
        return Work(self._steps(), self.stage, self._group, self._limits.dictionary)

    def _steps(self) -> Iterator[list[OutputRecord]]:
        """Take what is counted, and count until a slow machine's transaction would time out.

        A step of each partition in turn, so that none waits for the others.
        """
        deadline = self._clock.monotonic() + self._limits.counting_s_max
        turns = deque(part.steps() for part in self._parts.values())
        while turns:
            steps = turns.popleft()
            if (records := next(steps, None)) is not None:
                turns.append(steps)
                yield records
                if self._clock.monotonic() >= deadline:
                    self._leave_the_rest()

    def _leave_the_rest(self) -> None:
        for number, part in self._parts.items():
            if not part.is_counted:
                self._undone[number] = part.cut()

    def stage(self) -> Staged:
        """Add what was counted.

        Raises:
            Fatal: too many rejections in a row.
        """
        changes = dict[int, Changes]()
        for number, part in self._parts.items():
            self._runs[number] = _rejections(self._partitions[number], part, self._limits)
            grown = self._totals[number].grow(part.ids)
            if len(grown.ids):
                self._grown[number] = grown
                changes[number] = self._totals[number].encode(grown)
        offsets = {
            number: CommittedOffset(part.next_offset, number in changes or _has_counted(self._stores[number]))
            for number, part in self._parts.items()
        }
        return Staged(changes, offsets)

    def remember(self) -> None:
        """Keep what is committed now."""
        for number, grown in self._grown.items():
            self._totals[number].take(grown)
        for number, run in self._runs.items():
            self._partitions[number].rejected_in_a_row = run


def committed(counted: Counted, staged: Staged, seconds: float) -> Committed:
    """Return what a transaction did; `seconds`: how long it took, without counting."""
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
        changes=sum(map(len, staged.changes.values())),
        offsets={number: at.offset for number, at in staged.offsets.items()},
        seconds={"process": counted.seconds + counted.processed.seconds, "transaction": seconds},
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
