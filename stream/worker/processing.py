"""A batch -> what it commits: every record's one outcome, and what is added to its partition."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from stream.core.fold import Counts
from stream.core.lexicon import Ids
from stream.core.records import InputRecord, OutputRecord
from stream.errors import Rejected
from stream.ports import Clock
from stream.worker.retry import DeadlineMet, Retrier

STEP, STEP_BYTES = 2000, 1 << 19  # what is counted at a time: its results are in memory until they are sent


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What came of some records: of each its result or dead letter, and why it is one, by its place."""

    made: list[OutputRecord]
    rejected: Mapping[int, Rejected]
    words: int
    ids: Ids


class Part:
    """What comes of the records of one partition, counted in steps as it is taken, or before.

    A result is several times as large as its text: counted as it is sent, a batch's are never all in memory.

    Attributes:
        size: how many records there are.
        next_offset: the input's next offset after them.
        rejected: place among them -> why it is a dead letter; as the next, of those counted so far.
        words: of the records that have a result.
        ids: a signature's id for each of those words that has one, in pieces.
        seconds: how long counting took.
    """

    def __init__(
        self, records: deque[InputRecord], count: Callable[[Sequence[InputRecord]], Outcomes], clock: Clock
    ) -> None:
        self.size = len(records)
        self.next_offset = records[-1].offset + 1
        self.rejected: dict[int, Rejected] = {}
        self.words = 0
        self.ids: list[Ids] = []
        self.seconds = 0.0
        self._left = records
        self._count = count
        self._clock = clock
        self._held = deque[list[OutputRecord]]()

    def steps(self) -> Iterator[list[OutputRecord]]:
        """Take results and dead letters, one for each input record, in its order."""
        while self._held or self._left:
            yield self._held.popleft() if self._held else self._step()

    def count(self) -> None:
        """Count all that is left, and hold it until it is taken."""
        while self._left:
            self._held.append(self._step())

    @property
    def is_counted(self) -> bool:
        """Whether nothing is left to count."""
        return not self._left

    def cut(self) -> int:
        """Leave what is not counted to another batch; return its first offset."""
        self.next_offset, self.size = self._left[0].offset, self.size - len(self._left)
        self._left.clear()
        return self.next_offset

    def was_rejected(self) -> Iterable[bool]:
        """Return of each record, in order, whether it is a dead letter."""
        return (place in self.rejected for place in range(self.size))

    def _next(self) -> Iterator[InputRecord]:
        number, size = 0, 0
        while self._left and number < STEP and size < STEP_BYTES:
            record = self._left.popleft()
            number, size = number + 1, size + len(record.value or b"")
            yield record

    def _step(self) -> list[OutputRecord]:
        began, place = self._clock.monotonic(), self.size - len(self._left)
        step = self._count(list(self._next()))
        self.rejected.update({place + at: why for at, why in step.rejected.items()})
        self.words += step.words
        self.ids.append(step.ids)
        self.seconds += self._clock.monotonic() - began
        return step.made


@dataclass(slots=True)
class Processed:
    """What came of a batch.

    Attributes:
        parts: by partition.
        undone: partition -> the first offset that was not processed, where the deadline ended the batch.
    """

    parts: dict[int, Part] = field(default_factory=dict)
    undone: dict[int, int] = field(default_factory=dict)

    def count(self) -> None:
        """Count all, and hold it until it is taken."""
        for part in self.parts.values():
            part.count()

    @property
    def seconds(self) -> float:
        """How long counting took, so far."""
        return sum(part.seconds for part in self.parts.values())


Count = Callable[[Sequence[InputRecord]], Counts]
"""Decode, count, encode."""
Bury = Callable[[InputRecord, Rejected], OutputRecord]
"""Make a dead letter."""
Step = Callable[[InputRecord], None]
"""What a record must pass before it is counted. Raises Rejected (dead letter) or StageFailed (try again)."""
Spent = dict[tuple[int, int], Rejected]
"""(partition, offset) -> why a record did not pass."""


class Processor:
    """Counts batches."""

    def __init__(self, count: Count, bury: Bury, clock: Clock) -> None:
        self._count = count
        self._bury = bury
        self._clock = clock

    def process(self, records: list[InputRecord]) -> Processed:
        """Prepare records for counting, until all are done or the deadline is met.

        The list is emptied: what is counted is let go of, so that a batch is not held twice.
        """
        reached, spent = self._pass_all(records)
        done = Processed()
        for left in records[reached:]:
            done.undone.setdefault(left.partition, left.offset)
        by_partition: dict[int, deque[InputRecord]] = {}
        for record in records[:reached]:
            by_partition.setdefault(record.partition, deque()).append(record)
        records.clear()
        for partition, own in by_partition.items():
            done.parts[partition] = Part(own, partial(self._outcomes, spent), self._clock)
        return done

    def forget(self, partition: int) -> None:
        """Drop what is remembered of a partition that is no longer ours."""

    def _pass_all(self, records: Sequence[InputRecord]) -> tuple[int, Spent]:
        """Return how many records were reached, and those of them that did not pass: here none can fail."""
        return len(records), {}

    def _outcomes(self, spent: Spent, records: Sequence[InputRecord]) -> Outcomes:
        made, rejected = list[OutputRecord](), dict[int, Rejected]()
        passed = [record for record in records if _key(record) not in spent] if spent else records
        counts = self._count(passed)
        counted = iter(counts.outcomes)
        for record in records:
            outcome = spent.get(_key(record)) or next(counted) if spent else next(counted)
            if isinstance(outcome, OutputRecord):
                made.append(outcome)
            else:
                rejected[len(made)] = outcome
                made.append(self._buried(record, outcome))
        return Outcomes(made, rejected, counts.words, counts.ids)

    def _buried(self, record: InputRecord, why: Rejected) -> OutputRecord:
        """Make a dead letter; the rejection is kept with it, but not the frames that it was raised in."""
        letter = self._bury(record, why)
        why.__traceback__ = why.__cause__ = why.__context__ = None
        return letter


def _key(record: InputRecord) -> tuple[int, int]:
    return record.partition, record.offset


class StagedProcessor(Processor):
    """Counts batches as `Processor` does, of records that must pass a step first, which may fail."""

    def __init__(  # noqa: PLR0913, PLR0917 - what `Processor` is given, and the step
        self, count: Count, bury: Bury, step: Step, retrier: Retrier, clock: Clock, deadline_s: float
    ) -> None:
        super().__init__(count, bury, clock)
        self._step = step
        self._retrier = retrier
        self._deadline_s = deadline_s

    def forget(self, partition: int) -> None:
        """Drop what is remembered of a partition that is no longer ours."""
        self._retrier.forget(partition)

    def _pass_all(self, records: Sequence[InputRecord]) -> tuple[int, Spent]:
        deadline = self._clock.monotonic() + self._deadline_s
        spent: Spent = {}
        for number, record in enumerate(records):
            try:
                self._pass(record, deadline)
            except Rejected as why:
                spent[record.partition, record.offset] = why
            except DeadlineMet:
                return number, spent
        return len(records), spent

    def _pass(self, record: InputRecord, deadline: float) -> None:
        self._retrier.call((record.partition, record.offset), lambda: self._step(record), deadline)
