"""Restores stores from the changelog, up to its end, in bounded steps while the partitions are paused.

The order makes it exact: first the stable committed offset (no open transaction can change it), then the
changelog's high watermark, then the committed records up to it. The last stable offset would not do, because
the markers of one transaction reach the offsets topic and the changelog at different times (KAFKA-10167).
Positions are compared, never the offsets of records: markers take offsets, and compaction removes records.

The phases of a partition:

    new ── committed offset read ─→ Opening ── end read, store opened ─→ Reading ── position at end ─→ runs
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from stream.core.evidence import CommittedOffset, LogEnds
from stream.core.fold import Fold
from stream.core.partition_facts import PartitionFacts
from stream.core.processed_offset import read_processed_offset
from stream.core.resume import START_OVER, resume_offset
from stream.errors import Blocked, Refused, Retriable
from stream.events import Observer
from stream.ports import ChangelogChunk, ChangelogReader, Checkpoint, Clock, Sink, Source, Store, Stores
from stream.worker.assignment import Assignment, Partition, PartitionState
from stream.worker.restore_phases import Opening, Reading, StallTimer, processed_by_store

BLOCKED_RETRY_S = 5.0
STEP_S_MAX = 1.0  # afterwards the group is polled
STALLED_S_MAX = 120.0  # an open transaction of a dead worker ends within its timeout, 10 s by default
UNWRITTEN_RECORDS_MAX = 500_000  # since the last write to the store; a restore reads them again
HANGING_TRANSACTION_HINT = "abort it with your cluster's admin tool (KIP-664), then restart the worker"


@dataclass(frozen=True, slots=True)
class RestoreConfig:
    """The names of the topics by role, and the limits of a restore."""

    names: Mapping[str, str]
    stalled_s_max: float
    unwritten_records_max: int = UNWRITTEN_RECORDS_MAX


Phase = TypeVar("Phase", Opening, Reading)


class Restorer:
    """Brings every assigned partition from RESTORING to RUNNING.

    Attributes:
        received_records: whether the last step read any record.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the ports that it uses
        self,
        source: Source,
        sink: Sink,
        reader: ChangelogReader,
        stores: Stores,
        fold: Fold,
        assignment: Assignment,
        clock: Clock,
        observer: Observer,
        config: RestoreConfig,
    ) -> None:
        self._source = source
        self._sink = sink
        self._reader = reader
        self._stores = stores
        self._fold = fold
        self._assignment = assignment
        self._clock = clock
        self._observer = observer
        self._config = config
        self._opening: dict[int, Opening] = {}
        self._reading: dict[int, Reading] = {}
        self._blocked_until = 0.0
        self._unstable_since: float | None = None
        self.received_records = False

    def step(self, wait_s: float) -> None:
        """Do one bounded step for all partitions that are not running; wait up to `wait_s` for records.

        Raises:
            Retriable: the broker is unavailable, or the offsets are not stable yet; step again later.
            Refused: totals, offsets and logs do not match.
        """
        self._unblock()
        restoring = [each for each in self._assignment if each.state is PartitionState.RESTORING]
        self._read_committed_offsets([p.number for p in restoring if not self._has_phase(p.number)])
        if self._opening:
            self._sink.check_topics()
        unavailable = self._each(restoring, self._opening, self._open)
        self._read(wait_s)
        unavailable = self._each(restoring, self._reading, self._finish) or unavailable
        if unavailable is not None:
            raise unavailable

    def forget(self, number: int) -> None:
        """Stop restoring a partition: this worker no longer owns it, or its restore starts over."""
        self._opening.pop(number, None)
        if self._reading.pop(number, None) is not None:
            self._reader.stop(number)

    def restart(self) -> None:
        """Restore running partitions again. Their stores stay open, so only the tail is read."""
        for partition in self._assignment:
            if partition.state is PartitionState.RUNNING:
                self._source.pause(partition.number)
                partition.move(PartitionState.RESTORING)

    def _has_phase(self, number: int) -> bool:
        return number in self._opening or number in self._reading

    def _unblock(self) -> None:
        if self._clock.monotonic() < self._blocked_until:
            return
        for partition in self._assignment:
            if partition.state is PartitionState.BLOCKED:
                partition.move(PartitionState.RESTORING)

    def _read_committed_offsets(self, numbers: Sequence[int]) -> None:
        if numbers:
            now = self._clock.monotonic()
            for number, committed in self._committed(numbers).items():
                self._opening[number] = Opening(committed, now)

    def _committed(self, numbers: Sequence[int]) -> Mapping[int, CommittedOffset | None]:
        """Return stable offsets; after `stalled_s_max` the error names a possible cause."""
        now = self._clock.monotonic()
        try:
            offsets = self._source.committed(numbers)
        except Retriable as reason:
            if self._unstable_since is None:
                self._unstable_since = now
            if now - self._unstable_since < self._config.stalled_s_max:
                raise
            raise Retriable(
                f"{reason}; a hanging transaction may block the group's offsets: {HANGING_TRANSACTION_HINT}"
            ) from reason
        self._unstable_since = None
        return offsets

    def _each(
        self,
        partitions: Sequence[Partition],
        phases: Mapping[int, Phase],
        step: Callable[[Partition, Phase], None],
    ) -> Retriable | None:
        """Step each partition of a phase; an unavailable leader does not delay the other partitions."""
        unavailable: Retriable | None = None
        deadline = self._clock.monotonic() + STEP_S_MAX
        for partition in [each for each in partitions if each.number in phases]:
            try:
                step(partition, phases[partition.number])
            except Retriable as error:
                unavailable = error
            if self._clock.monotonic() >= deadline:
                break
        return unavailable

    def _open(self, partition: Partition, opening: Opening) -> None:
        """Read the changelog's end, and open the store."""
        number = partition.number
        try:
            self._sink.check(number)
            first, end = self._reader.offset_range(number)
        except Blocked as error:
            self.forget(number)
            partition.move(PartitionState.BLOCKED)
            self._blocked_until = self._clock.monotonic() + BLOCKED_RETRY_S
            self._observer.blocked(number, str(error), error.hint)
            return
        store, checkpoint = self._open_store(partition, first, end)
        position = checkpoint.changelog_offset if checkpoint else first
        processed = processed_by_store(checkpoint, self._fold.digest, self._sink.topic_ids["input"])
        stall = StallTimer(opening.started_at, self._config.stalled_s_max)
        self._reading[number] = Reading(opening, store, end, position, position, processed, stall)
        del self._opening[number]
        if position < end:
            self._reader.start(number, position)

    def _open_store(self, partition: Partition, first: int, end: int) -> tuple[Store, Checkpoint | None]:
        """Open the store; set it aside if its checkpoint is outside the changelog."""
        if partition.store is None:
            partition.store = self._stores.open(partition.number)
        checkpoint = partition.store.checkpoint
        if checkpoint is not None and not first <= checkpoint.changelog_offset <= end:
            offset = checkpoint.changelog_offset
            why = f"its checkpoint is at changelog offset {offset}, but the log has offsets {first} to {end}"
            partition.store.close()
            self._stores.set_aside(partition.number, why)
            self._observer.set_aside(partition.number, why)
            partition.store = self._stores.open(partition.number)
            checkpoint = None
        return partition.store, checkpoint

    def _read(self, wait_s: float) -> None:
        self.received_records = False
        if all(reading.is_complete for reading in self._reading.values()):
            return
        chunks = self._reader.read(wait_s)
        self.received_records = bool(chunks)
        for chunk in chunks:
            reading = self._reading.get(chunk.partition)
            if reading is not None and not reading.is_complete:
                self._apply(reading, chunk)

    def _apply(self, reading: Reading, chunk: ChangelogChunk) -> None:
        assert chunk.position >= reading.position
        if chunk.position == reading.position:
            return
        try:
            self._fold.validate(chunk.changes)
            processed = read_processed_offset(chunk.processed_offset)
        except ValueError as error:
            raise Refused(
                f"{self._changelog(chunk.partition)} contains records that no worker writes: {error}",
                START_OVER,
            ) from error
        reading.stall.reset()
        reading.apply(chunk, processed, self._config.unwritten_records_max)
        self._observer.restoring(chunk.partition, reading.position, reading.end)

    def _finish(self, partition: Partition, reading: Reading) -> None:
        """Run a partition whose store reached the changelog's end."""
        number = partition.number
        if not reading.is_complete:
            self._check_stalled(number, reading)
            return
        try:
            offset, partition.ends = self._resume_offset(number, reading)
        except Refused:
            if self._source.committed([number])[number] == reading.opening.committed:
                raise
            # This worker stalled and another one owned the partition meanwhile, so this restore is stale.
            # `lost` comes with the next poll; if it does not, the restore starts over.
            self.forget(number)
            return
        opening = reading.opening
        partition.changelog_end = reading.position
        self._source.resume_from(number, offset, opening.committed.leader_epoch if opening.committed else -1)
        self.forget(number)
        partition.move(PartitionState.RUNNING)
        seconds = self._clock.monotonic() - opening.started_at
        self._observer.restored(number, reading.records, seconds, offset)

    def _resume_offset(self, number: int, reading: Reading) -> tuple[int, LogEnds]:
        if reading.processed is None and reading.records:
            raise Refused(f"{self._changelog(number)} contains totals that no worker writes", START_OVER)
        opening = reading.opening
        first, end = self._source.offset_range(number)
        ends = opening.evidence.ends_in(self._sink.topic_ids) if opening.evidence else {}
        ends = self._sink.log_ends({number: ends})[number] if ends else {}
        is_new = opening.committed is None and reading.processed is None
        facts = PartitionFacts(
            self._config.names,
            number,
            self._sink.topic_ids,
            self._fold.digest,
            opening.committed,
            reading.processed,
            first,
            end,
            {role: end.offset for role, end in ends.items()},
            has_outcomes=is_new and self._sink.has_outcomes(number),
        )
        return resume_offset(facts), ends

    def _check_stalled(self, number: int, reading: Reading) -> None:
        """Wait for an open transaction, up to a limit: an operator must abort one that hangs."""
        now = self._clock.monotonic()
        if self.received_records:  # of another partition: this one may not have been read yet
            reading.stall.skip(now)
            return
        reading.stall.advance(now)
        if reading.stall.is_exceeded:
            self._reader.offset_range(number)  # raises Retriable if the broker is unavailable instead
            raise Refused(
                f"{self._changelog(number)} has been at offset {reading.position} of {reading.end} "
                f"for {reading.stall.stalled_s:.0f} s: a hanging transaction blocks it",
                HANGING_TRANSACTION_HINT,
            )
        if reading.stall.is_worth_reporting and reading.opening.is_beyond(reading.end):
            reading.end = reading.position  # truncated within a transaction, which never ends
        elif reading.stall.is_worth_reporting:
            raise Retriable(
                f"{self._changelog(number)}: waiting for an open transaction at offset {reading.position}"
            )

    def _changelog(self, number: int) -> str:
        return f"{self._config.names['count']}, partition {number}"
