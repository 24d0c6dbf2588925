"""The worker: gather, decide, apply, until stopped."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from stream.config import MAX_POLL_INTERVAL_MS
from stream.core.counts import decode_total, encode_total, fold, merge
from stream.core.limits import rejected_in_a_row
from stream.core.records import first_offsets
from stream.errors import Abortable, Fatal, InDoubt, Retriable
from stream.ports import (
    Batch,
    ChangelogReader,
    Changes,
    Clock,
    Committed,
    CommittedOffset,
    Observer,
    Sink,
    Source,
    Store,
)
from stream.run.assignment import Assignment
from stream.run.process import Processed, Processor
from stream.run.restore import Restorer, restart
from stream.run.transaction import Work, transact

IDLE_WAIT_S = 0.5  # how long a turn without records takes, and so the answer to SIGTERM
BUSY_WAIT_S = 0.05  # the same without partitions, while some restore or block, or the producer is replaced
RESTORE_WAIT_S = 0.1
LOST_AFTER_S = (
    MAX_POLL_INTERVAL_MS / 1000 * 0.8
)  # without a poll: the group may have given us up (librdkafka#5604)
FAILURES_IN_A_ROW_MAX = 25  # with their waits a minute and a half: what fails that long does not heal
FAILURE_WAIT_S = 0.01
FAILURE_WAIT_S_MAX = 5.0
TELL_S = 10.0  # another reason to wait is told no sooner
AWAY_WAIT_S = 0.5  # between attempts at surroundings that are away


@dataclass(frozen=True, slots=True)
class Limits:
    """What the loop holds to."""

    rejected_in_a_row_max: int
    dictionary: str  # digest


class Worker:
    """One member of the group: its partitions, its producer, its stores."""

    def __init__(  # noqa: PLR0913, PLR0917 - the ports it works with
        self,
        source: Source,
        sink: Sink,
        reader: ChangelogReader,
        processor: Processor,
        restorer: Restorer,
        clock: Clock,
        observer: Observer,
        limits: Limits,
    ) -> None:
        self._source = source
        self._sink = sink
        self._reader = reader
        self._processor = processor
        self._restorer = restorer
        self._clock = clock
        self._observer = observer
        self._limits = limits
        self._in_doubt = True  # no producer yet; its making ends what a predecessor of the same id left open
        self._waiting, self._why, self._told = False, "", 0.0
        self._polled = 0.0
        self._failures = 0  # transactions in a row that did not commit
        self.assignment = Assignment(observer, self._forget)

    def run(self, stopping: Callable[[], bool]) -> None:
        """Work until `stopping`, then drain: nothing is open between two turns.

        Raises:
            Fatal: the worker must not or cannot go on; what was not committed is read again by the next.
        """
        try:
            while self._in_doubt and not stopping():
                self._patiently(self._renew)
            if not stopping():
                self._source.subscribe(self.assignment)
                self._observer.started()
            while not stopping():
                self.turn()
        except Fatal as why:
            self._observer.stopping(str(why))
            raise
        finally:
            self.close()

    def turn(self) -> None:
        """Gather one batch and commit it; make one step of restore."""
        busy = self._in_doubt or not self.assignment.settled() or not self.assignment.running()
        batch = self._gather(BUSY_WAIT_S if busy else IDLE_WAIT_S)
        if batch.records:
            self._work(batch)
        if self._in_doubt:
            self._patiently(self._renew)
        elif not self.assignment.settled():
            self._patiently(lambda: self._restorer.step(self.assignment, RESTORE_WAIT_S))
        self._observer.turned()

    def close(self) -> None:
        """Close stores, leave the group, close the producer."""
        with ExitStack() as closing:  # one that fails does not keep the others open; in reverse order
            closing.callback(self._sink.close)
            closing.callback(self._source.close)
            closing.callback(self._reader.close)
            closing.callback(self.assignment.close)

    def _gather(self, wait_s: float) -> Batch:
        try:
            batch = self._source.gather(wait_s)
        except Retriable as why:
            self._wait(why)
            return Batch()
        self._polled = self._clock.monotonic()
        if not self._in_doubt and self.assignment.settled():
            self._resume()  # else the producer or restore may be what is waited for
        return batch

    def _work(self, batch: Batch) -> None:
        try:
            self._commit(batch)
        except Abortable as why:
            self._source.rewind(first_offsets(batch.records))
            self._observer.aborted(why)
            self._failed(why)
        except InDoubt as why:
            self._in_doubt = True
            restart(list(self.assignment), self._source)
            self._observer.in_doubt(why)
            self._failed(why)
        else:
            self._failures = 0

    def _failed(self, why: Exception) -> None:
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW_MAX:
            raise Fatal(f"{self._failures} transactions in a row failed, the last for: {why}") from why
        self._clock.sleep(min(FAILURE_WAIT_S_MAX, FAILURE_WAIT_S * 2 ** (self._failures - 1)))

    def _commit(self, batch: Batch) -> None:
        started = self._clock.monotonic()
        processed = self._processor.process(batch.records)
        rejections = self._count_rejections(processed)
        stores = self.assignment.running()
        staged = _stage(processed, stores)
        work = Work(
            records=[outcome.record for outcomes in processed.outcomes.values() for outcome in outcomes],
            staged=staged,
            offsets={
                partition: CommittedOffset(offset, partition in staged or _counted(stores[partition]))
                for partition, offset in processed.next_offsets.items()
            },
            group=batch.group,
            dictionary=self._limits.dictionary,
        )
        ready = self._clock.monotonic()
        if ready - self._polled > LOST_AFTER_S:
            raise Abortable(f"{ready - self._polled:.0f} s passed since the group was last polled")
        if work.offsets:
            transact(work, self._sink, stores)
            for partition, run in rejections.items():
                self.assignment[partition].rejected_in_a_row = run
            seconds = {"process": ready - started, "transaction": self._clock.monotonic() - ready}
            self._observer.committed(_summary(processed, work, seconds))
        if processed.undone:
            self._source.rewind(processed.undone)

    def _count_rejections(self, processed: Processed) -> dict[int, int]:
        runs = {}
        for partition, outcomes in processed.outcomes.items():
            before = self.assignment[partition].rejected_in_a_row
            rejected = (outcome.rejected is not None for outcome in outcomes)
            try:
                runs[partition] = rejected_in_a_row(before, rejected, self._limits.rejected_in_a_row_max)
            except Fatal as error:
                last = next(outcome.rejected for outcome in reversed(outcomes) if outcome.rejected)
                end = processed.next_offsets[partition]
                raise Fatal(
                    f"{error}; the last on partition {partition}, before offset {end}: {last}"
                ) from error
        return runs

    def _renew(self) -> None:
        self._sink.renew()
        self._in_doubt = False

    def _patiently(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Retriable as why:
            self._wait(why)
        else:
            self._resume()

    def _resume(self) -> None:
        if self._waiting:
            self._waiting = False
            self._observer.resumed()

    def _wait(self, why: Exception) -> None:
        now = self._clock.monotonic()
        if not self._waiting or (str(why) != self._why and now - self._told >= TELL_S):
            self._waiting, self._why, self._told = True, str(why), now
            self._observer.waiting(why)
        self._clock.sleep(AWAY_WAIT_S)

    def _forget(self, partition: int) -> None:
        self._restorer.forget(partition)
        self._processor.forget(partition)


def _counted(store: Store) -> bool:
    return store.checkpoint is not None and store.checkpoint.input_offset is not None


def _stage(processed: Processed, stores: Mapping[int, Store]) -> dict[int, Changes]:
    """Totals in the store plus the batch's deltas: partition -> changed totals, where there are any."""
    staged: dict[int, Changes] = {}
    for partition, outcomes in processed.outcomes.items():
        grown = {key.encode(): n for key, n in merge(outcome.deltas for outcome in outcomes).items()}
        if grown:
            stored = stores[partition].get(grown)
            totals = {key: decode_total(total) for key, total in stored.items()}
            staged[partition] = {key: encode_total(total) for key, total in fold(totals, [grown]).items()}
    return staged


def _summary(processed: Processed, work: Work, seconds: Mapping[str, float]) -> Committed:
    outcomes = [outcome for outcomes in processed.outcomes.values() for outcome in outcomes]
    rejected: dict[str, int] = {}
    for outcome in outcomes:
        if outcome.rejected is not None:
            reason = outcome.rejected.reason.value
            rejected[reason] = rejected.get(reason, 0) + 1
    return Committed(
        records=len(outcomes),
        words=sum(outcome.words for outcome in outcomes),
        results=len(outcomes) - sum(rejected.values()),
        rejected=rejected,
        changes=sum(map(len, work.staged.values())),
        offsets={partition: committed.offset for partition, committed in work.offsets.items()},
        seconds=seconds,
    )
