"""A batch -> what it commits: every record's one outcome, and the deltas of its partition."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from stream.core.records import InputRecord, OutputRecord
from stream.errors import Rejected
from stream.ports import Clock
from stream.run.retry import DeadlineMet, Retrier


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one record: a result and what it adds, or a dead letter (`rejected` says why)."""

    record: OutputRecord
    deltas: Mapping[str, int] = field(default_factory=dict)
    words: int = 0
    rejected: Rejected | None = None


@dataclass(slots=True)
class Processed:
    """What came of a batch.

    Attributes:
        outcomes: partition -> outcomes, in input order.
        next_offsets: partition -> the input's next offset after them.
        undone: partition -> the first offset that was not processed, where the deadline ended the batch.
    """

    outcomes: dict[int, list[Outcome]] = field(default_factory=dict)
    next_offsets: dict[int, int] = field(default_factory=dict)
    undone: dict[int, int] = field(default_factory=dict)


Count = Callable[[InputRecord], Outcome]
"""Decode, decide, encode. Raises Rejected (dead letter) or StageFailed (try again)."""
Bury = Callable[[InputRecord, Rejected], Outcome]
"""Make a dead letter."""


class Processor:
    """Counts batches."""

    def __init__(self, count: Count, bury: Bury, retrier: Retrier, clock: Clock, deadline_s: float) -> None:
        self._count = count
        self._bury = bury
        self._retrier = retrier
        self._clock = clock
        self._deadline_s = deadline_s

    def process(self, records: Sequence[InputRecord]) -> Processed:
        """Process records until all are done or the deadline is met."""
        deadline = self._clock.monotonic() + self._deadline_s
        done = Processed()
        for number, record in enumerate(records):
            try:
                outcome = self._outcome(record, deadline)
            except DeadlineMet:
                for left in records[number:]:
                    done.undone.setdefault(left.partition, left.offset)
                break
            done.outcomes.setdefault(record.partition, []).append(outcome)
            done.next_offsets[record.partition] = record.offset + 1
        return done

    def _outcome(self, record: InputRecord, deadline: float) -> Outcome:
        at = (record.partition, record.offset)
        try:
            return self._retrier.call(at, partial(self._count, record), deadline)
        except Rejected as why:
            return self._buried(record, why)

    def _buried(self, record: InputRecord, why: Rejected) -> Outcome:
        """Make a dead letter; the rejection is kept with it, but not the frames that it was raised in."""
        outcome = self._bury(record, why)
        why.__traceback__ = why.__cause__ = why.__context__ = None
        return outcome

    def forget(self, partition: int) -> None:
        """Drop what is remembered of a partition that is no longer ours."""
        self._retrier.forget(partition)
