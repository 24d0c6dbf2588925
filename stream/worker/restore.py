"""Changelog -> store, up to the end, in bounded steps while the partition is paused.

The order is what makes it exact: committed offsets first (stable ones: of no open transaction), then the
changelog's high watermark, then committed records up to it. The high watermark and not the last stable
offset, because the markers of one transaction reach the offsets topic and the changelog apart (KAFKA-10167).
Positions are compared, never a record's offset: markers take offsets, and compaction takes records.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from stream.core.counts import check_totals
from stream.core.processed_offset import ProcessedOffset, read_processed_offset
from stream.core.resume import START_OVER, check_dictionary, resume_offset
from stream.errors import Blocked, Refused, Retriable
from stream.ports import (
    ChangelogChunk,
    ChangelogReader,
    Checkpoint,
    Clock,
    CommittedOffset,
    Observer,
    Sink,
    Source,
    Stores,
)
from stream.worker.assignment import Assignment, Partition, PartitionState

STALLED_S_MAX = 120.0  # an open transaction of a dead worker ends within its timeout, 10 s by default
STALL_STEP_S_MAX = 1.0
OPEN_S_MAX = 2.0  # without progress before it is said that an open transaction is waited for
BLOCKED_RETRY_S = 5.0
UNWRITTEN_MAX = 500_000  # records read since the store was last written: what an interruption costs
HANGING = (
    "find and end it with `kafka-transactions.sh --bootstrap-server … find-hanging --broker-id …` "
    "and `kafka-transactions.sh … abort`"
)


@dataclass(slots=True)
class _Progress:
    """One partition's restore.

    `committed` was read before `end`, which was read before the first record; None until then. Of `records`
    read the store has the first `written`; `unwritten` are the totals of the others: most come again soon.
    """

    committed: CommittedOffset | None
    started: float
    looked: float
    stalled_s: float = 0.0
    end: int | None = None
    position: int = 0
    input_offset: int | None = None
    dictionary: str | None = None
    records: int = 0
    written: int = 0
    unwritten: dict[bytes, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RestoreNames:
    """What restore says in its errors, the dictionary's digest that it compares, and its limits."""

    input_topic: str
    count_topic: str
    dictionary: str
    reset_command: str
    stalled_s_max: float = STALLED_S_MAX
    unwritten_max: int = UNWRITTEN_MAX


class Restorer:
    """Brings every assigned partition from RESTORING to RUNNING."""

    def __init__(  # noqa: PLR0913, PLR0917 - the ports it moves data between
        self,
        source: Source,
        sink: Sink,
        reader: ChangelogReader,
        stores: Stores,
        clock: Clock,
        observer: Observer,
        names: RestoreNames,
    ) -> None:
        self._source = source
        self._sink = sink
        self._reader = reader
        self._stores = stores
        self._clock = clock
        self._observer = observer
        self._names = names
        self._progress: dict[int, _Progress] = {}
        self._blocked_until = 0.0
        self._unstable_since = 0.0
        self.heard = False  # whether the last step read anything

    def step(self, assignment: Assignment, wait_s: float) -> None:
        """Make one bounded step for all partitions that are not running.

        Raises:
            Retriable: the broker is away, or the offsets are not stable yet; step again later.
            Refused: totals and offsets do not belong together.
        """
        self._unblock(assignment)
        restoring = [p for p in assignment if p.state is PartitionState.RESTORING]
        new = [p.number for p in restoring if p.number not in self._progress]
        if new:
            now = self._clock.monotonic()
            for number, committed in self._committed(new).items():
                self._progress[number] = _Progress(committed, now, now)
        away = self._each(restoring, self._begin)
        reading = {p.number: p for p in restoring if self._is_reading(p.number)}
        self.heard = False
        if reading:
            chunks = self._reader.read(wait_s)
            self.heard = bool(chunks)
            for chunk in chunks:
                if chunk.partition in reading:
                    self._apply(reading[chunk.partition], chunk)
        away = self._each(restoring, self._finish) or away
        if away is not None:
            raise away

    def _committed(self, partitions: Sequence[int]) -> Mapping[int, CommittedOffset | None]:
        """Ask for stable offsets; say after a while what may keep them from being so."""
        now = self._clock.monotonic()
        try:
            found = self._source.committed(partitions)
        except Retriable as why:
            self._unstable_since = self._unstable_since or now
            if now - self._unstable_since < self._names.stalled_s_max:
                raise
            raise Retriable(
                f"{why}; a transaction that never ended may hold the group's offsets: {HANGING}"
            ) from why
        self._unstable_since = 0.0
        return found

    @staticmethod
    def _each(partitions: Sequence[Partition], step: Callable[[Partition], None]) -> Retriable | None:
        """Make the step for each; a leader that is away does not hold up the other partitions."""
        away: Retriable | None = None
        for partition in partitions:
            try:
                step(partition)
            except Retriable as why:
                away = why
        return away

    def forget(self, partition: int) -> None:
        """Stop restoring a partition that is no longer ours, or begin anew with one that is."""
        if self._progress.pop(partition, None) is not None:
            self._reader.stop(partition)

    def _is_reading(self, number: int) -> bool:
        progress = self._progress.get(number)
        return progress is not None and progress.end is not None and progress.position < progress.end

    def _begin(self, partition: Partition) -> None:
        progress = self._progress[partition.number]
        if progress.end is not None:
            return
        try:
            self._sink.check(partition.number)
            first, end = self._reader.offset_range(partition.number)
        except Blocked as why:
            self.forget(partition.number)
            partition.move(PartitionState.BLOCKED)
            self._blocked_until = self._clock.monotonic() + BLOCKED_RETRY_S
            self._observer.blocked(partition.number, str(why), why.hint)
            return
        if partition.store is None:
            partition.store = self._stores.open(partition.number)
        checkpoint = partition.store.checkpoint
        if checkpoint is not None and not first <= checkpoint.changelog_offset <= end:
            why_not = (
                f"it stands at changelog offset {checkpoint.changelog_offset}, the log holds {first} to {end}"
            )
            partition.store.close()
            self._stores.set_aside(partition.number, why_not)
            self._observer.set_aside(partition.number, why_not)
            partition.store = self._stores.open(partition.number)
            checkpoint = None
        progress.position = checkpoint.changelog_offset if checkpoint else first
        progress.input_offset = checkpoint.input_offset if checkpoint else None
        progress.end = end
        if progress.position < end:
            self._reader.start(partition.number, progress.position)

    def _apply(self, partition: Partition, chunk: ChangelogChunk) -> None:
        progress = self._progress[partition.number]
        assert partition.store is not None
        assert chunk.position >= progress.position
        if chunk.position == progress.position:
            return
        processed_offset = self._bookmark(partition.number, chunk)
        if processed_offset is not None:
            progress.input_offset = processed_offset.input_offset
            progress.dictionary = processed_offset.dictionary
        progress.position = chunk.position
        progress.stalled_s = 0.0
        progress.records += chunk.records
        progress.unwritten.update(chunk.changes)
        assert progress.end is not None
        due = progress.records - progress.written >= self._names.unwritten_max
        if due or progress.position >= progress.end:
            partition.store.write(progress.unwritten, Checkpoint(chunk.position, progress.input_offset))
            progress.unwritten, progress.written = {}, progress.records
        self._observer.restoring(partition.number, progress.position, progress.end or 0)

    def _bookmark(self, number: int, chunk: ChangelogChunk) -> ProcessedOffset | None:
        try:
            check_totals(chunk.changes.values())
            return read_processed_offset(chunk.processed_offset)
        except ValueError as error:
            raise Refused(
                f"{self._where(number)} holds records that no worker wrote: {error}", START_OVER
            ) from error

    def _finish(self, partition: Partition) -> None:
        progress = self._progress.get(partition.number)
        if progress is None or progress.end is None:
            return
        if progress.position < progress.end:
            self._check_stalled(partition.number, progress)
            return
        assert partition.store is not None
        try:
            offset = self._resume_offset(partition.number, progress)
        except Refused:
            if self._source.committed([partition.number])[partition.number] == progress.committed:
                raise
            # We stood still, and another worker had the partition meanwhile: what we read is of two times.
            # `lost` comes with the next gather; if it does not, restore begins anew.
            self.forget(partition.number)
            return
        self._source.start(partition.number, offset)
        seconds = self._clock.monotonic() - progress.started
        self.forget(partition.number)
        partition.move(PartitionState.RUNNING)
        self._observer.restored(partition.number, progress.records, seconds, offset)

    def _resume_offset(self, number: int, progress: _Progress) -> int:
        if progress.input_offset is None and progress.records:
            raise Refused(f"{self._where(number)} holds totals that no worker of this kind wrote", START_OVER)
        where = f"{self._names.input_topic}, partition {number}"
        check_dictionary(where, progress.dictionary, self._names.dictionary)
        first, end = self._source.offset_range(number)
        return resume_offset(
            where,
            committed=progress.committed.offset if progress.committed else None,
            committed_counted=bool(progress.committed and progress.committed.counted),
            counted_to=progress.input_offset,
            first=first,
            end=end,
            reset_command=self._names.reset_command.format(partition=number),
        )

    def _check_stalled(self, number: int, progress: _Progress) -> None:
        """An open transaction is waited for; one that never ends hangs, and somebody must end it."""
        now = self._clock.monotonic()
        if self.heard:  # its turn may not have come
            progress.looked = now
            return
        progress.stalled_s += min(
            STALL_STEP_S_MAX, now - progress.looked
        )  # a suspended machine stalls nothing
        progress.looked = now
        if progress.stalled_s < OPEN_S_MAX:
            return
        if progress.stalled_s < self._names.stalled_s_max:
            raise Retriable(
                f"{self._where(number)}: an open transaction is waited for at {progress.position}"
            )
        self._reader.offset_range(number)  # the broker may be what is away: that is Retriable
        raise Refused(
            f"{self._where(number)} stays at offset {progress.position} of {progress.end} "
            f"for {progress.stalled_s:.0f} s: a transaction hangs open in it",
            HANGING,
        )

    def _unblock(self, assignment: Assignment) -> None:
        if self._clock.monotonic() < self._blocked_until:
            return
        for partition in assignment:
            if partition.state is PartitionState.BLOCKED:
                partition.move(PartitionState.RESTORING)

    def _where(self, number: int) -> str:
        return f"{self._names.count_topic}, partition {number}"


def restart(partitions: Sequence[Partition], source: Source) -> None:
    """Send running partitions back to restore: their stores stay open, only the tail is read."""
    for partition in partitions:
        if partition.state is PartitionState.RUNNING:
            source.stop(partition.number)
            partition.move(PartitionState.RESTORING)
