"""A batch -> what it commits: every record's one outcome, and what is added to its partition."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stream.core.counting import Counts
from stream.core.lexicon import Ids, joined
from stream.core.records import InputRecord, OutputRecord
from stream.errors import Rejected
from stream.ports import Clock
from stream.run.retry import DeadlineMet, Retrier


@dataclass(frozen=True, slots=True)
class Part:
    """What came of the records of one partition.

    Attributes:
        records: results and dead letters, one for each input record, in its order; taken as they are sent.
        size: how many there are.
        rejected: place in `records` -> why it is a dead letter.
        next_offset: the input's next offset after them.
        words: of the records that have a result.
        ids: a signature's id for each of those words that has one.
    """

    records: deque[OutputRecord]
    size: int
    rejected: Mapping[int, Rejected]
    next_offset: int
    words: int
    ids: Ids

    def was_rejected(self) -> Iterable[bool]:
        """Return of each record, in order, whether it is a dead letter."""
        return (place in self.rejected for place in range(self.size))

    def taken(self) -> Iterator[OutputRecord]:
        """Take the records one by one: each is let go of when the client has its copy."""
        while self.records:
            yield self.records.popleft()


@dataclass(slots=True)
class Processed:
    """What came of a batch.

    Attributes:
        parts: by partition.
        undone: partition -> the first offset that was not processed, where the deadline ended the batch.
    """

    parts: dict[int, Part] = field(default_factory=dict)
    undone: dict[int, int] = field(default_factory=dict)


STEP = 500  # records; what lies between decoding and encoding takes no more memory, and stays in the cache

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

    def __init__(self, count: Count, bury: Bury) -> None:
        self._count = count
        self._bury = bury

    def process(self, records: list[InputRecord]) -> Processed:
        """Process records until all are done or the deadline is met.

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
            done.parts[partition] = self._part(own, spent)
        return done

    def forget(self, partition: int) -> None:
        """Drop what is remembered of a partition that is no longer ours."""

    def _pass_all(self, records: Sequence[InputRecord]) -> tuple[int, Spent]:
        """Return how many records were reached, and those of them that did not pass: here none can fail."""
        return len(records), {}

    def _part(self, own: deque[InputRecord], spent: Spent) -> Part:
        made, rejected = deque[OutputRecord](), dict[int, Rejected]()
        next_offset, words, ids = own[-1].offset + 1, 0, list[Ids]()
        while own:
            step = [own.popleft() for _ in range(min(STEP, len(own)))]
            counts = self._count([record for record in step if _key(record) not in spent] if spent else step)
            counted = iter(counts.outcomes)
            for record in step:
                outcome = spent.get(_key(record)) or next(counted) if spent else next(counted)
                if isinstance(outcome, OutputRecord):
                    made.append(outcome)
                else:
                    rejected[len(made)] = outcome
                    made.append(self._buried(record, outcome))
            words += counts.words
            ids.append(counts.ids)
        return Part(made, len(made), rejected, next_offset, words, joined(ids))

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
        super().__init__(count, bury)
        self._step = step
        self._retrier = retrier
        self._clock = clock
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
