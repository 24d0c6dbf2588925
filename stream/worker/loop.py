"""The worker: poll, process, commit, until stopped.

No transaction is open while the group is polled, so a rebalance never interrupts one.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from stream.config import MAX_POLL_INTERVAL_MS
from stream.errors import Abortable, Fatal, Fenced, InDoubt, Retriable
from stream.events import Committed, Observer
from stream.ports import Batch, ChangelogReader, Clock, Sink, Source
from stream.worker.assignment import Assignment, StateUpdates
from stream.worker.processing import Processor
from stream.worker.restore import Restorer
from stream.worker.transaction import transact
from stream.worker.waiting import Backoff, Fences, Refusals, Waiting

IDLE_POLL_S = 0.5  # poll timeout without records; it also bounds the reaction to SIGTERM
BUSY_POLL_S = 0.05  # the same while partitions are not running, or the producer is replaced
RESTORE_READ_S = 0.1
OUTPUT_ROLES = ("result", "count", "dead-letter")
TOPICS_CHECKED_S = 5.0  # a transaction checks input and count topic, and all of them once a second
LOST_AFTER_S = (
    MAX_POLL_INTERVAL_MS / 1000 * 0.8
)  # without a poll: assume that the group removed this worker (librdkafka#5604)


class Worker:
    """One member of the group: its partitions, its producer, its stores."""

    def __init__(  # noqa: PLR0913, PLR0917 - the ports that it uses
        self,
        source: Source,
        sink: Sink,
        reader: ChangelogReader,
        processor: Processor,
        assignment: Assignment,
        restorer: Restorer,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._source = source
        self._sink = sink
        self._reader = reader
        self._processor = processor
        self._assignment = assignment
        self._restorer = restorer
        self._clock = clock
        self._observer = observer
        self._waiting = Waiting(clock, observer)
        self._backoff = Backoff(clock)
        self._fences = Fences(clock)
        self._refusals = Refusals(clock)
        self._needs_producer = True  # a new one aborts the open transaction of a predecessor with the same id
        self._has_aborted = False
        self._polled_at = 0.0
        self._topics_checked_at = clock.monotonic()

    def run(self, stopping: Callable[[], bool]) -> None:
        """Run the loop until `stopping` returns true.

        Raises:
            Fatal: the worker cannot continue. The next worker reads the uncommitted input again.
        """
        try:
            while self._needs_producer and not stopping():
                self._waiting.attempt(self._reset_producer)
            if not stopping():
                self._source.subscribe(self)
                self._observer.started()
            while not stopping():
                self.run_once()
        except Fatal as error:
            self._observer.stopping(str(error))
            raise
        finally:
            self.close()

    def run_once(self) -> None:
        """Poll one batch and commit it; then replace the producer or do one step of restore, if needed."""
        batch = self._poll_batch()
        if batch.records:
            self._commit(batch)
        if self._needs_producer:
            self._waiting.attempt(self._reset_producer)
        elif not self._assignment.is_settled():
            self._waiting.attempt(lambda: self._restorer.step(RESTORE_READ_S))
        elif self._clock.monotonic() >= self._topics_checked_at + TOPICS_CHECKED_S:
            self._waiting.attempt(self._check_topics)
        self._observer.ran_once()

    def close(self) -> None:
        """Close stores, leave the group, close the producer."""
        with ExitStack() as closing:  # in reverse order, and also after a failure
            closing.callback(self._sink.close)
            closing.callback(self._source.close)
            closing.callback(self._reader.close)
            closing.callback(self._assignment.close)

    def assigned(self, partitions: Sequence[int]) -> None:
        """Add partitions; each is restored before it runs."""
        for number in partitions:
            self._remove(number)  # in case its loss was not reported
            self._assignment.add(number)
        self._observer.assigned(partitions)

    def revoked(self, partitions: Sequence[int]) -> None:
        """Remove partitions that another worker owns after this call."""
        for number in partitions:
            self._remove(number)
        self._observer.revoked(partitions, lost=False)

    def lost(self, partitions: Sequence[int]) -> None:
        """Remove partitions that another worker may own already."""
        for number in partitions:
            self._remove(number)
        self._observer.revoked(partitions, lost=True)

    def _remove(self, number: int) -> None:
        self._assignment.remove(number)
        self._restorer.forget(number)

    def _poll_batch(self) -> Batch:
        is_settled = self._assignment.is_settled()
        if not is_settled and self._restorer.received_records:
            timeout_s = 0.0
        elif not is_settled or self._needs_producer or not self._assignment.running():
            timeout_s = BUSY_POLL_S
        else:
            timeout_s = IDLE_POLL_S
        polled_at = self._clock.monotonic()
        try:
            batch = self._source.poll_batch(timeout_s)
        except Fenced as error:  # the source has rejoined
            self._refusals.check(error)
            self._waiting.wait(Retriable(str(error)))
            return Batch()
        except Retriable as error:
            self._waiting.wait(error)
            return Batch()
        self._polled_at = polled_at
        if not self._needs_producer and self._assignment.is_settled():
            self._waiting.end()  # otherwise the worker may wait for the producer or for restore
        return batch

    def _commit(self, batch: Batch) -> None:
        """Commit a batch. After a failure its records are delivered again."""
        start_offsets = batch.start_offsets()
        started_at = self._clock.monotonic()
        try:
            self._check_membership(started_at)
            self._check_logs()
            updates = transact(batch, self._processor, self._sink, self._assignment)
        except Abortable as error:
            self._has_aborted = True
            self._source.rewind(start_offsets)
            self._observer.aborted(error)
            self._backoff.wait(error)
        except (InDoubt, Fenced) as error:
            if isinstance(error, Fenced):
                self._fences.check(error)
            self._needs_producer = True
            self._restorer.restart()
            self._observer.in_doubt(error)
            self._backoff.wait(error)
        else:
            self._backoff.reset()
            self._source.rewind(updates.unprocessed)
            self._observer.committed(_committed(updates, self._clock.monotonic() - started_at))

    def _check_membership(self, now: float) -> None:
        passed_s = now - self._polled_at
        if passed_s > LOST_AFTER_S:
            raise Abortable(f"the group has not been polled for {passed_s:.0f} s")

    def _check_logs(self) -> None:
        """Check the output logs after an abort: aborted records can hide that a log was truncated."""
        if not self._has_aborted:
            return
        running = self._assignment.running()
        self._assignment.check_logs(self._sink.log_ends, dict.fromkeys(running, OUTPUT_ROLES))
        self._has_aborted = False

    def _check_topics(self) -> None:
        self._sink.check_topics()
        self._topics_checked_at = self._clock.monotonic()

    def _reset_producer(self) -> None:
        self._sink.reset_producer()
        self._needs_producer = False


def _committed(updates: StateUpdates, seconds: float) -> Committed:
    rejected, processing_s = sum(updates.rejected.values()), updates.processing_s
    return Committed(
        records=updates.records,
        items=updates.items,
        results=updates.records - rejected,
        rejected=updates.rejected,
        changes=sum(len(changed.changes) for changed in updates.changed.values()),
        offsets=dict(updates.offsets),
        seconds={"process": processing_s, "transaction": seconds - processing_s},
    )
