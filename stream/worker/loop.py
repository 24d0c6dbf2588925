"""The worker: gather, count, commit, until stopped.

A turn gathers a batch, counts it and commits it, and the next begins. A worker that is behind, and waits
for Kafka longer than it counts, does two of these at a time: what was counted is committed while the next
batch, gathered before, is counted. (Where it does not wait, two threads of Python only get in each other's
way.) No transaction is open while the group is polled, so that a partition that goes takes with it only
what was counted and has not been sent.
"""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from stream.config import MAX_POLL_INTERVAL_MS
from stream.core.records import first_offsets
from stream.errors import Abortable, Fatal, InDoubt, Retriable
from stream.ports import Aside, Batch, ChangelogReader, Clock, Observer, Sink, Source
from stream.worker.assignment import Assignment
from stream.worker.counted import Counted, Limits, Sum, committed
from stream.worker.processing import Processed, Processor
from stream.worker.restore import Restorer, restart
from stream.worker.transaction import transact

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
        aside: Aside,
    ) -> None:
        self._source = source
        self._sink = sink
        self._reader = reader
        self._processor = processor
        self._restorer = restorer
        self._clock = clock
        self._observer = observer
        self._limits = limits
        self._aside = aside
        self._counted: Counted | None = None  # and not committed; only while behind
        self._in_doubt = True  # no producer yet; its making ends what a predecessor of the same id left open
        self._waiting, self._why, self._told = False, "", 0.0
        self._polled = 0.0
        self._record_s = 0.0  # how long counting one took
        self._failures = 0  # transactions in a row that did not commit
        self.assignment = Assignment(observer, self._forget)

    def run(self, stopping: Callable[[], bool]) -> None:
        """Work until `stopping`, then drain: nothing is open between two turns.

        Raises:
            Fatal: the worker must not or cannot go on; what was not committed is read again by the next.
        """
        try:
            while self._in_doubt and not stopping():
                self._patiently(self._reset_producer)
            if not stopping():
                self._source.subscribe(self.assignment)
                self._observer.started()
            while not stopping():
                self.turn()
            if self._counted is not None:
                self._commit(self._counted, Batch())
        except Fatal as why:
            self._observer.stopping(str(why))
            raise
        finally:
            self.close()

    def turn(self) -> None:
        """Gather one batch, commit what is counted, count; make one step of restore."""
        batch = self._gather(self._patience_s())
        if batch.records or self._counted is not None:
            self._work(batch)
        if self._in_doubt:
            self._patiently(self._reset_producer)
        elif not self.assignment.settled():
            self._patiently(lambda: self._restorer.step(self.assignment, RESTORE_WAIT_S))
        self._observer.turned()

    def _patience_s(self) -> float:
        """Return how long to wait for a record."""
        restoring = not self.assignment.settled()
        if self._counted is not None or (restoring and self._restorer.heard):
            return 0.0
        busy = self._in_doubt or restoring or not self.assignment.running()
        return BUSY_WAIT_S if busy else IDLE_WAIT_S

    def close(self) -> None:
        """Close stores, leave the group, close the producer."""
        with ExitStack() as closing:  # one that fails does not keep the others open; in reverse order
            closing.callback(self._sink.close)
            closing.callback(self._source.close)
            closing.callback(self._reader.close)
            closing.callback(self.assignment.close)

    def _gather(self, wait_s: float) -> Batch:
        try:
            batch = self._source.poll_batch(wait_s)
        except Retriable as why:
            self._wait(why)
            return Batch()
        self._polled = self._clock.monotonic()
        if not self._in_doubt and self.assignment.settled():
            self._resume()  # else the producer or restore may be what is waited for
        return batch

    def _work(self, batch: Batch) -> None:
        """Commit what is counted, count `batch`, and commit that too, unless more is waiting."""
        ahead, self._counted = self._counted, None
        counted = self._count(batch) if ahead is None else self._commit(ahead, batch)
        if counted is None or not counted.first:
            return
        if batch.behind and not counted.processed.undone and self._waits_longer(counted.processed):
            counted.processed.count()
            self._counted = counted
        else:
            self._commit(counted, Batch())

    def _waits_longer(self, processed: Processed) -> bool:
        """Whether the next commit will wait for Kafka longer than this batch takes to be counted."""
        records = sum(part.size for part in processed.parts.values())
        return self._sink.commit_wait_s() > records * self._record_s

    def _count(self, batch: Batch) -> Counted:
        started, first = self._clock.monotonic(), first_offsets(batch.records)
        processed = self._processor.process(batch.records)
        return Counted(first, batch.group, processed, self._clock.monotonic() - started)

    def _count_beside(self, batch: Batch) -> Counted:
        """Count beside a commit, unless that takes longer than it waits: then it is counted as it is sent."""
        counted = self._count(batch)
        if self._waits_longer(counted.processed):
            counted.processed.count()
        return counted

    def _commit(self, counted: Counted, batch: Batch) -> Counted | None:
        """Commit what is counted, and count `batch` beside it. None: neither; the records come again."""
        both = first_offsets(batch.records) | counted.first
        try:
            following = self._send(counted, lambda: self._count_beside(batch))
        except Abortable as why:
            self._source.rewind(both)
            self._observer.aborted(why)
            self._failed(why)
            return None
        except InDoubt as why:
            self._in_doubt = True
            restart(list(self.assignment), self._source)
            self._observer.in_doubt(why)
            self._failed(why)
            return None
        self._failures = 0
        if counted.processed.undone:
            self._source.rewind(counted.processed.undone)
        return following

    def _send(self, counted: Counted, meanwhile: Callable[[], Counted]) -> Counted:
        started = self._clock.monotonic()
        if started - self._polled > LOST_AFTER_S:
            raise Abortable(f"{started - self._polled:.0f} s passed since the group was last polled")
        if not counted.processed.parts:
            return meanwhile()
        summed, before_s = Sum(counted, self.assignment, self._limits, self._clock), counted.processed.seconds
        sending = self._aside.submit(partial(transact, summed.work(), self._sink, self.assignment.running()))
        try:
            following = meanwhile()
        finally:
            staged = sending.result()
        summed.remember()
        counted_s = counted.processed.seconds
        took_s = self._clock.monotonic() - started - (counted_s - before_s)
        what = committed(counted, staged, took_s)
        self._record_s = (counted.seconds + counted_s) / max(1, what.records)
        self._observer.committed(what)
        return following

    def _failed(self, why: Exception) -> None:
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW_MAX:
            raise Fatal(f"{self._failures} transactions in a row failed, the last for: {why}") from why
        self._clock.sleep(min(FAILURE_WAIT_S_MAX, FAILURE_WAIT_S * 2 ** (self._failures - 1)))

    def _reset_producer(self) -> None:
        self._sink.reset_producer()
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
        if self._counted is not None:
            self._counted.drop(partition)
