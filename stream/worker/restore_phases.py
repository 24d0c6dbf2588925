"""The phases of one partition's restore, and the timer that detects a stall."""

from dataclasses import dataclass, field

from stream.core.evidence import CommittedOffset, Evidence
from stream.core.processed_offset import ProcessedOffset
from stream.ports import ChangelogChunk, Checkpoint, Store

STALL_STEP_S_MAX = 1.0  # the longest time that counts between two checks
STALL_REPORTED_AFTER_S = 2.0


class StallTimer:
    """Measures the time without progress.

    Attributes:
        stalled_s: seconds without progress; a suspended machine adds at most `STALL_STEP_S_MAX`.
    """

    def __init__(self, now: float, stalled_s_max: float) -> None:
        self.stalled_s = 0.0
        self._last_checked_at = now
        self._stalled_s_max = stalled_s_max

    def reset(self) -> None:
        """Start over, after progress."""
        self.stalled_s = 0.0

    def skip(self, now: float) -> None:
        """Do not count the time since the last check."""
        self._last_checked_at = now

    def advance(self, now: float) -> None:
        """Count the time since the last check."""
        self.stalled_s += min(STALL_STEP_S_MAX, now - self._last_checked_at)
        self._last_checked_at = now

    @property
    def is_exceeded(self) -> bool:
        return self.stalled_s >= self._stalled_s_max

    @property
    def is_worth_reporting(self) -> bool:
        """Whether the wait is longer than usual."""
        return self.stalled_s >= STALL_REPORTED_AFTER_S


@dataclass(frozen=True, slots=True)
class Opening:
    """First phase: the committed offset is known (None: the group has none); the changelog end is not."""

    committed: CommittedOffset | None
    started_at: float

    @property
    def evidence(self) -> Evidence | None:
        return self.committed.evidence if self.committed else None

    def is_beyond(self, changelog_end: int) -> bool:
        """Whether the commit covers more of the changelog than the log contains."""
        return (
            self.evidence is not None
            and "count" in self.evidence.ends
            and (self.evidence.ends["count"].offset > changelog_end)
        )


@dataclass(slots=True)
class Reading:
    """Second phase: the store is open and is restored from `position` to `end`.

    Attributes:
        records_end: the offset after the last record that is in the store or was read; the next checkpoint.
            Only markers and aborted records lie between it and `position`. A log that loses these loses
            nothing committed, but a store whose checkpoint is beyond them would skip the totals that take
            their place.
        processed: how far the totals read so far go; None if nothing was processed.
        records: number of records read.
        unwritten: totals that were read but not yet written to the store; most of them change again soon.
        unwritten_records: number of records that these totals were read from.
    """

    opening: Opening
    store: Store
    end: int
    position: int
    records_end: int
    processed: ProcessedOffset | None
    stall: StallTimer
    records: int = 0
    unwritten: dict[bytes, bytes] = field(default_factory=dict)
    unwritten_records: int = 0

    @property
    def is_complete(self) -> bool:
        return self.position >= self.end

    def apply(self, chunk: ChangelogChunk, processed: ProcessedOffset | None, unwritten_max: int) -> None:
        """Apply a chunk; write to the store when enough records are read, and at the end."""
        if processed is not None:
            self.processed = processed
        self.position = chunk.position
        self.records_end = max(self.records_end, chunk.records_end)
        self.records += chunk.records
        self.unwritten.update(chunk.changes)
        self.unwritten_records += chunk.records
        if self.unwritten_records >= unwritten_max or self.is_complete:
            input_offset = self.processed.input_offset if self.processed else None
            checkpoint = Checkpoint(self.records_end, input_offset, is_restoring=not self.is_complete)
            self.store.write(self.unwritten, checkpoint)
            self.unwritten, self.unwritten_records = {}, 0


def processed_by_store(
    checkpoint: Checkpoint | None, digest: str, input_topic: str
) -> ProcessedOffset | None:
    """Return how far a store goes; digest and input topic are part of the identity of the store."""
    if checkpoint is None or checkpoint.input_offset is None:
        return None
    return ProcessedOffset(checkpoint.input_offset, digest, input_topic)
