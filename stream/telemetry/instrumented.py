"""Source and sink with measurements: a few figures per batch, nothing per record.

Calls that are made per record are passed through unwrapped.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from stream.core.columns import InputRecords, Outputs
from stream.core.evidence import Appended, CommittedOffset
from stream.core.fold import Changes
from stream.core.records import Header
from stream.ports import AssignmentListener, Batch, Clock, Sink, Source
from stream.telemetry.lag import Lag
from stream.telemetry.metrics import Metrics

SAMPLE_RECORDS_MAX = 1_000  # of a batch


class Instruments:
    """What the instrumented ports and the observer share.

    Attributes:
        transaction_began_s: when the open transaction began, monotonic; None if none is open.
        call_began_s: when the call of the sink that runs now began, monotonic; None if none runs.
    """

    def __init__(self, metrics: Metrics, lag: Lag, clock: Clock) -> None:
        self.metrics = metrics
        self.lag = lag
        self.clock = clock
        self.transaction_began_s: float | None = None
        self.call_began_s: float | None = None
        self._sample: list[tuple[int, int, int]] = []  # of the last batch: partition, offset, timestamp in ms
        self._last_run_s = 0.0
        self._accounted_s = 0.0  # time of the current pass with a known activity
        metrics.open_transaction.set_function(self._transaction_age_s)
        metrics.lag_records.read = lag.records
        metrics.lag_seconds.read = lag.seconds

    def spent(self, activity: str, seconds: float) -> None:
        """Account time of the loop to an activity."""
        self._accounted_s += seconds
        self.metrics.loop_seconds.labels(activity).inc(seconds)

    def ran_once(self, remaining_activity: str) -> None:
        """End a pass of the loop; its time without a known activity is accounted to `remaining_activity`."""
        now = self.clock.monotonic()
        if self._last_run_s:
            self.spent(remaining_activity, max(0.0, now - self._last_run_s - self._accounted_s))
        self._last_run_s, self._accounted_s = now, 0.0

    def polled(self, samples: Sequence[InputRecords]) -> None:
        """Keep the timestamps of a sample of a batch, in order; uncommitted records are polled again."""
        self._sample = [
            (sample.partition, offset, timestamp_ms or 0)
            for sample in samples
            for offset, timestamp_ms in zip(sample.offsets, sample.timestamps_ms, strict=True)
        ]
        self.lag.polled({sample.partition: sample.offsets[-1] + 1 for sample in samples})

    def committed(self, next_offsets: Mapping[int, int]) -> float:
        """Measure the latency of input before these offsets; return its seconds ahead of the clock."""
        now = self.clock.now()
        self.metrics.last_commit.set(now)
        done = [
            (p, timestamp_ms) for p, offset, timestamp_ms in self._sample if offset < next_offsets.get(p, 0)
        ]
        self._sample = []
        if oldest_ms := min((timestamp_ms for _, timestamp_ms in done if timestamp_ms > 0), default=0):
            self.metrics.latency.observe(max(0.0, now - oldest_ms / 1000))
        self.lag.committed(next_offsets, dict(done))
        return max((timestamp_ms for _, timestamp_ms in done), default=0) / 1000 - now

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure a phase that succeeds; a failed one shows in the phase `abort`."""
        started = self.call_began_s = self.clock.monotonic()
        try:
            yield
        finally:
            self.call_began_s = None
        self.metrics.phases.labels(name).observe(self.clock.monotonic() - started)

    def _transaction_age_s(self) -> float:
        began_s = self.transaction_began_s
        return 0.0 if began_s is None else self.clock.monotonic() - began_s


class InstrumentedSource:
    """A `Source` that measures polls, rebalances and batches."""

    def __init__(self, source: Source, instruments: Instruments, sample_stores: Callable[[], None]) -> None:
        self._source = source
        self._instruments = instruments
        self._sample_stores = sample_stores  # called here because the stores belong to the loop's thread
        self._polled_s = 0.0
        self.committed = source.committed
        self.offset_range = source.offset_range
        self.resume_from = source.resume_from
        self.pause = source.pause
        self.rewind = source.rewind
        self.close = source.close

    def subscribe(self, listener: AssignmentListener) -> None:
        self._source.subscribe(_InstrumentedListener(listener, self._instruments))

    def poll_batch(self, wait_s: float) -> Batch:
        instruments = self._instruments
        self._sample_stores()
        started = instruments.clock.monotonic()
        if self._polled_s:
            instruments.metrics.poll_gap.observe(started - self._polled_s)
        try:
            batch = self._source.poll_batch(wait_s)
        finally:
            self._polled_s = instruments.clock.monotonic()
            instruments.spent("gather", self._polled_s - started)
        if batch.records:
            self._measure(batch.records)
        return batch

    def _measure(self, records: Mapping[int, InputRecords]) -> None:
        instruments = self._instruments
        step = max(1, sum(map(len, records.values())) // SAMPLE_RECORDS_MAX)
        # From the end, so that the sample contains the last record of each partition.
        samples = [columns[::-step] for columns in records.values()]
        sizes = [len(value or b"") for sample in samples for value in sample.values]
        keys = sum(len(key or b"") for sample in samples for key in sample.keys)
        instruments.metrics.input_bytes.inc((sum(sizes) + keys) * step)
        instruments.metrics.blob_bytes.add(sizes, step)
        instruments.polled([sample[::-1] for sample in samples])


class _InstrumentedListener:
    def __init__(self, listener: AssignmentListener, instruments: Instruments) -> None:
        self._listener = listener
        self._instruments = instruments

    def assigned(self, partitions: Sequence[int]) -> None:
        with self._timed("assigned"):
            self._listener.assigned(partitions)

    def revoked(self, partitions: Sequence[int]) -> None:
        with self._timed("revoked"):
            self._listener.revoked(partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        with self._timed("lost"):
            self._listener.lost(partitions)

    @contextmanager
    def _timed(self, event: str) -> Iterator[None]:
        started = self._instruments.clock.monotonic()
        yield
        took_s = self._instruments.clock.monotonic() - started
        self._instruments.metrics.rebalance_seconds.labels(event).observe(took_s)


class InstrumentedSink:
    """A `Sink` that measures each phase of a transaction."""

    def __init__(self, sink: Sink, instruments: Instruments) -> None:
        self._sink = sink
        self._instruments = instruments
        self._produce_s = 0.0
        self.topic_ids = sink.topic_ids
        self.check = sink.check
        self.check_topics = sink.check_topics
        self.log_ends = sink.log_ends
        self.has_outcomes = sink.has_outcomes
        self.close = sink.close

    def begin(self) -> None:
        with self._instruments.phase("begin"):
            self._instruments.transaction_began_s = self._instruments.clock.monotonic()
            self._sink.begin()
        self._produce_s = 0.0

    def produce(self, outputs: Outputs) -> None:
        with self._timed_produce():
            self._sink.produce(outputs)

    def produce_changelog(self, partition: int, changes: Changes, headers: Sequence[Header]) -> None:
        with self._timed_produce():
            self._sink.produce_changelog(partition, changes, headers)

    def flush(self) -> Mapping[int, Mapping[str, Appended]]:
        self._instruments.metrics.phases.labels("produce").observe(self._produce_s)
        with self._instruments.phase("flush"):
            return self._sink.flush()

    def send_offsets(self, offsets: Mapping[int, CommittedOffset], group_metadata: object) -> None:
        with self._instruments.phase("offsets"):
            self._sink.send_offsets(offsets, group_metadata)

    def commit(self) -> None:
        with self._instruments.phase("commit"):
            self._sink.commit()
        self._instruments.transaction_began_s = None

    def abort(self) -> None:
        with self._instruments.phase("abort"):
            self._sink.abort()
        self._instruments.transaction_began_s = None

    def reset_producer(self) -> None:
        with self._instruments.phase("renew"):
            self._sink.reset_producer()
        self._instruments.transaction_began_s = None

    @contextmanager
    def _timed_produce(self) -> Iterator[None]:
        """Add up the time of all produce calls; the processing of chunks between them is not included."""
        started = self._instruments.call_began_s = self._instruments.clock.monotonic()
        try:
            yield
        finally:
            self._instruments.call_began_s = None
        self._produce_s += self._instruments.clock.monotonic() - started
