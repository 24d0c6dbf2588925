"""Wraps source and fold: each record first passes stages that fail on purpose and are retried."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import chain, zip_longest
from typing import Protocol

from stream.core.columns import InputRecords
from stream.core.fold import Chunk, Fold
from stream.core.records import InputRecord
from stream.errors import Rejected
from stream.exercise.faults import Faults, Stage
from stream.ports import AssignmentListener, Batch, Clock, Source
from stream.worker.retry import DeadlineMet, Retrier

Tokens = Callable[[InputRecord], Iterable[str]]
"""The words of a record's text. Raises Rejected if it has none."""
OnInjected = Callable[[str, str, int], None]
"""Called with a stage, a kind of fault, and how many faults of this kind were injected."""


class Stages(Protocol):
    """The stages that a record must pass before it is counted."""

    def run(self, record: InputRecord, deadline: float) -> None:
        """Run the stages of one record, with retries.

        Raises:
            Rejected: the attempts of a stage are exhausted.
            DeadlineMet: the time of the batch is exhausted.
        """

    def end_batch(self) -> None:
        """Called after the last record of a batch, or when its time is exhausted."""

    def forget(self, partition: int) -> None:
        """Discard the attempts of a partition that this worker no longer owns."""


Rejections = dict[tuple[int, int], Rejected]
"""(partition, offset) -> why the record is rejected: its retries are exhausted."""


class FaultInjectingSource:
    """A `Source` that runs the stages of every record before it delivers the record.

    A record whose attempts are exhausted is delivered and added to `rejections`; records not reached before
    the deadline are delivered by a later poll. All waits end before the poll returns, and so before the
    transaction.
    """

    def __init__(
        self, source: Source, stages: Stages, rejections: Rejections, clock: Clock, deadline_s: float
    ) -> None:
        self._source = source
        self._stages = stages
        self._rejections = rejections
        self._clock = clock
        self._deadline_s = deadline_s
        self.committed = source.committed
        self.offset_range = source.offset_range
        self.resume_from = source.resume_from
        self.pause = source.pause
        self.rewind = source.rewind
        self.close = source.close

    def subscribe(self, listener: AssignmentListener) -> None:
        self._source.subscribe(_ForgettingListener(listener, self._stages))

    def poll_batch(self, wait_s: float) -> Batch:
        batch = self._source.poll_batch(wait_s)
        in_turn = [record for record in chain(*zip_longest(*batch.records.values())) if record is not None]
        reached = self._run_stages(in_turn)
        passed = Batch.of(in_turn[:reached], batch.group_metadata, batch.leader_epochs)
        self._source.rewind(Batch.of(in_turn[reached:]).start_offsets())
        return passed

    def _run_stages(self, records: list[InputRecord]) -> int:
        """Return the number of records whose stages were run before the deadline."""
        self._rejections.clear()
        deadline = self._clock.monotonic() + self._deadline_s
        reached = len(records)
        for number, record in enumerate(records):
            try:
                self._stages.run(record, deadline)
            except Rejected as rejected:
                self._rejections[record.partition, record.offset] = rejected
            except DeadlineMet:
                reached = number
                break
        self._stages.end_batch()
        return reached


class FaultInjectingFold:
    """A `Fold` that rejects the records in `rejections`, and passes the others to another fold."""

    def __init__(self, fold: Fold, rejections: Rejections) -> None:
        self._fold = fold
        self._rejections = rejections
        self.load = fold.load
        self.validate = fold.validate

    @property
    def digest(self) -> str:
        return self._fold.digest

    def process(self, records: InputRecords) -> Chunk:
        injected = {
            position: why
            for position, offset in enumerate(records.offsets)
            if (why := self._rejections.get((records.partition, offset))) is not None
        }
        if not injected:
            return self._fold.process(records)
        others = [position for position in range(len(records)) if position not in injected]
        chunk = self._fold.process(records.select(others))
        rejected = injected | {others[position]: why for position, why in chunk.rejected.items()}
        return replace(chunk, rejected=dict(sorted(rejected.items())))


class _ForgettingListener:
    """An `AssignmentListener` that also discards the attempts of partitions that are taken away."""

    def __init__(self, listener: AssignmentListener, stages: Stages) -> None:
        self._listener = listener
        self._stages = stages
        self.assigned = listener.assigned

    def revoked(self, partitions: Sequence[int]) -> None:
        self._forget(partitions)
        self._listener.revoked(partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        self._forget(partitions)
        self._listener.lost(partitions)

    def _forget(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            self._stages.forget(partition)


class SharedWaits:
    """A `Clock` that lets all records of a batch wait at the same time.

    `sleep` does not sleep but moves the time of the current record ahead; `set_ahead` resets the time for the
    next record. `sleep_longest` sleeps once, as long as the record that waited longest.

    Attributes:
        ahead_s: seconds that the time of the current record is ahead of the real time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._longest_s = 0.0
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        return self._clock.monotonic() + self.ahead_s

    def now(self) -> float:
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        self.ahead_s += seconds
        self._longest_s = max(self._longest_s, self.ahead_s)

    def set_ahead(self, ahead_s: float) -> None:
        self.ahead_s = ahead_s

    def sleep_longest(self) -> None:
        longest_s, self._longest_s, self.ahead_s = self._longest_s, 0.0, 0.0
        if longest_s:
            self._clock.sleep(longest_s)


class InjectedStages:
    """The stages of the exercise, with the failures and delays of a plan. `retrier` must use `waits`."""

    def __init__(
        self,
        faults: Faults,
        tokens: Tokens,
        retrier: Retrier,
        waits: SharedWaits,
        on_injected: OnInjected = lambda *_: None,
    ) -> None:
        self._faults = faults
        self._tokens = tokens
        self._retrier = retrier
        self._waits = waits
        self._on_injected = on_injected
        self._reported: Counter[tuple[str, str]] = Counter()

    def run(self, record: InputRecord, deadline: float) -> None:
        """Run all stages of a record; the lookups of its words are independent and wait at the same time."""
        self._waits.set_ahead(0.0)
        tokens = dict.fromkeys(self._tokens(record))
        self._run_stage(record, Stage.FILTER_INPUT, 0, "", deadline)
        self._run_stage(record, Stage.GET_WORDS, 1, "", deadline)
        began_s = slowest_s = self._waits.ahead_s
        for number, word in enumerate(tokens, start=2):
            self._waits.set_ahead(began_s)
            self._run_stage(record, Stage.FIND_ANAGRAMS, number, word, deadline)
            slowest_s = max(slowest_s, self._waits.ahead_s)
        self._waits.set_ahead(slowest_s)

    def end_batch(self) -> None:
        """Wait for the slowest record, and report the injected faults."""
        self._waits.sleep_longest()
        injected = self._faults.injected.copy()
        for (stage, kind), number in (injected - self._reported).items():
            self._on_injected(stage, kind, number)
        self._reported = injected

    def forget(self, partition: int) -> None:
        self._retrier.forget(partition)

    def _run_stage(self, record: InputRecord, stage: Stage, number: int, word: str, deadline: float) -> None:
        """Run one stage; `number` identifies it among the stages of the record."""
        key = f"{record.partition}-{record.offset}/{word}"

        def attempt() -> None:
            fault = self._faults.draw(stage, key)
            if fault.delay_s:
                self._waits.sleep(fault.delay_s)
            if fault.error is not None:
                raise fault.error

        self._retrier.call((record.partition, record.offset, number), attempt, deadline)
