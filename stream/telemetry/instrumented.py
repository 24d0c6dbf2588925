"""The ports, watched: what passes through them is measured, a few figures per batch, nothing per record.

Calls that are made per record are the watched object's own, not wrapped.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from stream.core.records import Header, InputRecord, OutputRecord
from stream.ports import (
    AssignmentListener,
    Batch,
    Changes,
    Clock,
    CommittedOffset,
    Sink,
    Source,
)
from stream.telemetry.lag import Lag
from stream.telemetry.metrics import Metrics

SAMPLED_MAX = 1_000  # records of a batch that are looked at
GATHERED_MAX = 8  # batches that are remembered; two at most have something left


class _Gathered:
    """A batch as it was sampled: (partition, offset, timestamp) of records that are not done."""

    def __init__(self, sample: Iterable[InputRecord]) -> None:
        self.left = [(record.partition, record.offset, record.timestamp_ms or 0) for record in sample]

    def take(self, offsets: Mapping[int, int]) -> list[tuple[int, int]]:
        """Take what is before these offsets: partition and timestamp, in order."""
        done = [(at, stamp_ms) for at, offset, stamp_ms in self.left if offset < offsets.get(at, 0)]
        self.left = [each for each in self.left if each[1] >= offsets.get(each[0], 0)]
        return done

    def drop(self, offsets: Mapping[int, int]) -> None:
        """Drop what is not before these offsets: it comes again."""
        self.left = [each for each in self.left if each[0] not in offsets or each[1] < offsets[each[0]]]


class Instruments:
    """What the watched ports share.

    Attributes:
        began_s: when the open transaction began; None: none is open.
    """

    def __init__(self, metrics: Metrics, lag: Lag, clock: Clock) -> None:
        self.metrics = metrics
        self.lag = lag
        self.clock = clock
        self._gathered: deque[_Gathered] = deque(maxlen=GATHERED_MAX)
        self.began_s: float | None = None
        self._turned_s = 0.0
        self._accounted_s = 0.0  # of this turn
        metrics.open_transaction.set_function(self._open_s)
        metrics.lag_records.read = lag.records
        metrics.lag_seconds.read = lag.seconds

    def spent(self, activity: str, seconds: float) -> None:
        """The loop did this, so long."""
        self._accounted_s += seconds
        self.metrics.loop_seconds.labels(activity).inc(seconds)

    def turned(self, otherwise: str) -> None:
        """The loop went round once; what was not told of, it did `otherwise`."""
        now = self.clock.monotonic()
        if self._turned_s:
            self.spent(otherwise, max(0.0, now - self._turned_s - self._accounted_s))
        self._turned_s, self._accounted_s = now, 0.0

    def gathered(self, sample: Sequence[InputRecord]) -> None:
        """These, in order, are of a batch that was gathered."""
        self._gathered.append(_Gathered(sample))
        self.lag.given({record.partition: record.offset + 1 for record in sample})

    def rewound(self, offsets: Mapping[int, int]) -> None:
        """What is not before these offsets will be gathered again."""
        for batch in self._gathered:
            batch.drop(offsets)

    def committed(self, offsets: Mapping[int, int]) -> None:
        """All before these offsets of the input is done; what was gathered after them is not."""
        now, stamps_ms = self.clock.now(), dict[int, int]()
        self.metrics.last_commit.set(now)
        for batch in self._gathered:
            done = batch.take(offsets)
            stamps_ms |= dict(done)
            if oldest_ms := min((ms for _, ms in done if ms > 0), default=0):
                self.metrics.latency.observe(max(0.0, now - oldest_ms / 1000))
        self.lag.committed(offsets, stamps_ms)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure a phase, if it comes to an end; one that fails shows in its abort."""
        started = self.clock.monotonic()
        yield
        self.metrics.phases.labels(name).observe(self.clock.monotonic() - started)

    def _open_s(self) -> float:
        began = self.began_s
        return 0.0 if began is None else self.clock.monotonic() - began


class InstrumentedSource:
    """A `Source` that tells how long it was polled and what it gave."""

    def __init__(self, source: Source, watch: Instruments, sample: Callable[[], None]) -> None:
        self._source = source
        self._watch = watch
        self._sample = sample  # called by the loop's thread, to which the stores belong
        self._left = 0.0
        self.committed = source.committed
        self.offset_range = source.offset_range
        self.stop = source.stop
        self.close = source.close

    def subscribe(self, listener: AssignmentListener) -> None:
        """Join the group."""
        self._source.subscribe(_WatchedListener(listener, self._watch))

    def poll_batch(self, wait_s: float) -> Batch:
        """Return a batch."""
        watch = self._watch
        self._sample()
        entered = watch.clock.monotonic()
        if self._left:
            watch.metrics.poll_gap.observe(entered - self._left)
        try:
            batch = self._source.poll_batch(wait_s)
        finally:
            self._left = watch.clock.monotonic()
            watch.spent("gather", self._left - entered)
        if batch.records:
            self._look_at(batch.records)
        return batch

    def start(self, partition: int, offset: int) -> None:
        """Deliver an assigned partition from this offset."""
        self._watch.rewound({partition: 0})  # whatever was gathered before
        self._source.start(partition, offset)

    def rewind(self, offsets: Mapping[int, int]) -> None:
        """Deliver these partitions again from these offsets."""
        self._watch.rewound(offsets)
        self._source.rewind(offsets)

    def _look_at(self, records: Sequence[InputRecord]) -> None:
        watch, step = self._watch, max(1, len(records) // SAMPLED_MAX)
        sample = records[::-step]  # from the end: the last of each partition are in it
        sizes = [len(record.value or b"") for record in sample]
        watch.metrics.input_bytes.inc((sum(sizes) + sum(len(r.key or b"") for r in sample)) * step)
        watch.metrics.blob_bytes.add(sizes, step)
        watch.gathered(sample[::-1])


class _WatchedListener:
    def __init__(self, listener: AssignmentListener, watch: Instruments) -> None:
        self._listener = listener
        self._watch = watch

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
        started = self._watch.clock.monotonic()
        yield
        took_s = self._watch.clock.monotonic() - started
        self._watch.metrics.rebalance_seconds.labels(event).observe(took_s)


class InstrumentedSink:
    """A `Sink` that tells how long each step of a transaction took."""

    def __init__(self, sink: Sink, watch: Instruments) -> None:
        self._sink = sink
        self._watch = watch
        self._produced_s = 0.0
        self.check = sink.check
        self.close = sink.close
        self.commit_wait_s = sink.commit_wait_s

    def begin(self) -> None:
        """Begin a transaction."""
        with self._watch.phase("begin"):
            self._watch.began_s = self._watch.clock.monotonic()
            self._sink.begin()
        self._produced_s = 0.0

    def produce(self, records: Iterable[OutputRecord]) -> None:
        """Add results and dead letters: a step's; what is done between two, as counting, is not in it."""
        with self._producing():
            self._sink.produce(records)

    def produce_changelog(self, partition: int, changes: Changes, headers: Sequence[Header]) -> None:
        """Add changed totals."""
        with self._producing():
            self._sink.produce_changelog(partition, changes, headers)

    def send_offsets(self, offsets: Mapping[int, CommittedOffset], group: object) -> None:
        """Add the group's new committed offsets."""
        self._watch.metrics.phases.labels("produce").observe(self._produced_s)
        with self._watch.phase("offsets"):
            self._sink.send_offsets(offsets, group)

    def commit(self) -> Mapping[int, int]:
        """Commit."""
        with self._watch.phase("commit"):
            restore_from = self._sink.commit()
        self._watch.began_s = None
        return restore_from

    def abort(self) -> None:
        """Abort."""
        with self._watch.phase("abort"):
            self._sink.abort()
        self._watch.began_s = None

    def reset_producer(self) -> None:
        """Begin with a new producer."""
        with self._watch.phase("reset_producer"):
            self._sink.reset_producer()
        self._watch.began_s = None

    @contextmanager
    def _producing(self) -> Iterator[None]:
        started = self._watch.clock.monotonic()
        yield
        self._produced_s += self._watch.clock.monotonic() - started
