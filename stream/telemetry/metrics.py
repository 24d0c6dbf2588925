"""Every metric, in one module: `stream_<what>_<unit>[_total]`, labels of a bounded set."""

import platform
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from stream import __version__
from stream.errors import Reason

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_LONG_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_RECORDS = (1, 10, 50, 100, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000)
_BLOB_BYTES = (16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216)

PHASES = (
    "process",
    "begin",
    "produce",
    "offsets",
    "commit",
    "abort",
    "store",
    "transaction",
    "reset_producer",
)

Row = tuple[str, ...]


class Table(Collector):
    """A gauge whose rows are put there as a whole, or read when it is scraped: what is gone is gone.

    Attributes:
        rows: label values -> value, replaced, never changed.
        read: where the rows come from instead.
    """

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name, self._text, self._labels = name, text, labels
        self.rows: Mapping[Row, float] = {}
        self.read: Callable[[], Mapping[Row, float]] = lambda: self.rows
        registry.register(self)

    def describe(self) -> Iterator[Metric]:
        """Name it, without reading."""
        yield GaugeMetricFamily(self._name, self._text, labels=self._labels)

    def collect(self) -> Iterator[Metric]:
        """Give the rows."""
        family = GaugeMetricFamily(self._name, self._text, labels=self._labels)
        for labels, value in sorted(self.read().items()):
            family.add_metric(labels, value)
        yield family


class Sizes(Collector):
    """A histogram that takes many observations in one call."""

    def __init__(self, name: str, text: str, bounds: Sequence[float], registry: CollectorRegistry) -> None:
        self._name, self._text, self._bounds = name, text, bounds
        self._counts, self._sum = [0] * (len(bounds) + 1), 0.0
        registry.register(self)

    def add(self, sizes: Sequence[float], weight: int = 1) -> None:
        """Add sizes, each `weight` times."""
        for size in sizes:
            self._counts[bisect_left(self._bounds, size)] += weight
        self._sum += sum(sizes) * weight

    def describe(self) -> Iterator[Metric]:
        """Name it."""
        yield HistogramMetricFamily(self._name, self._text)

    def collect(self) -> Iterator[Metric]:
        """Give the buckets, each with those below it."""
        names = [*map(str, map(float, self._bounds)), "+Inf"]
        buckets = list(zip(names, accumulate(self._counts), strict=True))
        yield HistogramMetricFamily(self._name, self._text, buckets=buckets, sum_value=self._sum)


class Metrics:
    """The worker's. One registry of its own, so that several workers or tests may live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._of_flow()
        self._of_transactions()
        self._of_partitions()
        self._of_stores()
        self._of_clients()
        self._of_process()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _table(self, name: str, text: str, *labels: str) -> Table:
        return Table(name, text, labels, self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)

    def _of_flow(self) -> None:
        self.records = self._counter("stream_records_total", "Input records with a committed outcome.")
        self.input_bytes = self._counter("stream_input_bytes_total", "Keys and values of input gathered.")
        self.words = self._counter("stream_words_total", "Words in committed results.")
        self.results = self._counter("stream_results_total", "Results committed.")
        self.dead_letters = self._counter("stream_dead_letters_total", "Dead letters committed.", "reason")
        for reason in Reason:
            self.dead_letters.labels(reason.value)
        self.blob_bytes = Sizes(
            "stream_blob_size_bytes",
            "Input records by the size of their value; of large batches a sample, scaled up.",
            _BLOB_BYTES,
            self.registry,
        )
        self.latency = self._histogram(
            "stream_latency_seconds",
            "From a record's timestamp to the commit of its outcome, of the oldest in each transaction.",
            _LONG_SECONDS,
        )
        self.retries = self._counter("stream_retries_total", "Attempts that failed in passing.", "stage")
        self.injected_faults = self._counter(
            "stream_injected_faults_total", "Faults injected on purpose (STREAM_FAULTS).", "stage", "kind"
        )
        self.faults_on = self._gauge(
            "stream_faults_injected_on_purpose", "1 where STREAM_FAULTS makes stages fail."
        )
        self.top_signatures = self._table(
            "stream_top_signature_words",
            "Words so far of the signatures with the greatest totals, over partitions in use.",
            "signature",
        )

    def _of_transactions(self) -> None:
        self.transactions = self._counter("stream_transactions_total", "Transactions by outcome.", "outcome")
        for outcome in ("committed", "aborted", "in_doubt"):
            self.transactions.labels(outcome)
        self.phases = self._histogram(
            "stream_batch_phase_seconds",
            "How long a batch was in a phase; transaction is begin, produce, offsets, commit and store.",
            _SECONDS,
            "phase",
        )
        self.batch_records = self._histogram(
            "stream_batch_size_records", "Input records of a transaction.", _RECORDS
        )
        self.changelog_records = self._counter("stream_changelog_records_total", "Totals written.")
        self.open_transaction = self._gauge(
            "stream_open_transaction_age_seconds", "How long our transaction is open; 0: none is."
        )
        self.last_commit = self._gauge(
            "stream_last_commit_timestamp_seconds", "When a transaction last committed."
        )
        self.poll_gap = self._histogram(
            "stream_poll_gap_seconds", "Between the end of a poll and the next.", _SECONDS
        )
        self.loop_seconds = self._counter(
            "stream_loop_seconds_total", "Where the loop's time goes.", "activity"
        )
        for phase in PHASES:  # what may happen is there before it does: a rate needs a beginning
            self.phases.labels(phase)

    def _of_partitions(self) -> None:
        self.assigned = self._gauge("stream_assigned_partitions", "Partitions that are ours.")
        self.rebalances = self._counter("stream_rebalances_total", "Partitions came or went.", "event")
        self.rebalance_seconds = self._histogram(
            "stream_rebalance_callback_seconds", "How long taking or giving took.", _SECONDS, "event"
        )
        for event in ("assigned", "revoked", "lost"):
            self.rebalances.labels(event)
            self.rebalance_seconds.labels(event)
        self.blocked = self._gauge("stream_paused_partitions", "Partitions that do not run.", "reason")
        for reason in ("restoring", "blocked"):
            self.blocked.labels(reason)
        self.lag_records = self._table(
            "stream_lag_records", "Committed input, up to the last stable offset, not yet done.", "partition"
        )
        self.lag_seconds = self._table(
            "stream_lag_seconds", "How old the oldest input not yet done may be; 0: none is.", "partition"
        )
        self.unstable = self._table(
            "stream_last_stable_offset_lag_records", "From the last stable offset to the end.", "topic"
        )
        self.stalled = self._table(
            "stream_last_stable_offset_stalled_seconds",
            "How long a last stable offset has stood still below the end.",
            "topic",
        )
        self.restored_records = self._counter("stream_restore_records_total", "Changelog records applied.")
        self.restore_remaining = self._gauge(
            "stream_restore_remaining_offsets", "Changelog offsets still to restore."
        )
        self.restore_seconds = self._histogram(
            "stream_restore_seconds", "From assignment to running, by partition.", _LONG_SECONDS
        )

    def _of_stores(self) -> None:
        self.stores_set_aside = self._counter("stream_stores_set_aside_total", "Stores put aside.")
        self.store_keys = self._table(
            "stream_store_keys", "Signatures in a store; estimated before it is used.", "partition"
        )
        self.store_bytes = self._table("stream_store_bytes", "RocksDB's data files.", "partition")
        self.store_memory = self._table(
            "stream_store_memory_bytes", "RocksDB's memory, by what it is for.", "part"
        )
        self.store_compactions = self._table(
            "stream_store_background_jobs", "RocksDB's jobs under way.", "kind"
        )
        self.store_stopped = self._gauge(
            "stream_store_writes_stopped", "Stores whose writes RocksDB has stopped."
        )
        self.disk_free = self._gauge("stream_state_disk_free_bytes", "Free below STREAM_STATE_DIR.")

    def _of_clients(self) -> None:
        client = ("client",)
        self.broker_away = self._gauge("stream_broker_away", "1 while the worker waits for Kafka.")
        self.client_rtt = self._table(
            "stream_client_rtt_seconds",
            "Round trips to the slowest broker, 99 %; a fetch without data waits half a second.",
            *client,
        )
        self.client_queue = self._table(
            "stream_client_queue_records", "Records in the client's queues.", *client
        )
        self.client_throttle = self._table(
            "stream_client_throttle_seconds", "What brokers make us wait at most.", *client
        )
        self.client_brokers = self._table("stream_client_brokers_up", "Brokers connected.", *client)
        self.client_errors = self._counter(
            "stream_client_errors_total", "Requests and answers that failed.", *client
        )
        self.client_retries = self._counter("stream_client_retries_total", "Requests sent again.", *client)
        self.client_timeouts = self._counter(
            "stream_client_timeouts_total", "Requests without an answer.", *client
        )
        self.client_sent = self._counter("stream_client_sent_bytes_total", "Sent to brokers.", *client)
        self.client_received = self._counter(
            "stream_client_received_bytes_total", "Received from brokers.", *client
        )

    def _of_process(self) -> None:
        registry = self.registry
        build = {"version": __version__, "python": platform.python_version()}
        Info("stream_build", "What runs.", registry=registry).info(build)
        self.worker = Info("stream_worker", "Whose worker this is.", registry=registry)
        self.ready = self._gauge("stream_ready", "1 while /healthz/ready says yes.")
        self.live = self._gauge("stream_live", "1 while the loop advances.")
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)


class AuditMetrics:
    """What `verify --follow` exports."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.differences = Gauge(
            "stream_audit_differences", "Differences found so far, by kind.", ["kind"], registry=registry
        )
        self.records = Gauge("stream_audit_records", "Input records looked at so far.", registry=registry)
        self.unchecked = Gauge("stream_audit_unchecked", "What could not be looked at.", registry=registry)
        self.last = Gauge(
            "stream_audit_last_round_timestamp_seconds", "When the last round ended.", registry=registry
        )


def process_metrics(up: Mapping[str, bool], restarts: Mapping[str, int]) -> Iterator[Metric]:
    """Return what a supervisor exports of its processes."""
    answers = GaugeMetricFamily("stream_process_up", "1 where the process answers.", labels=["process"])
    started = CounterMetricFamily(
        "stream_process_restarts", "Starts after a death that was not asked for.", labels=["process"]
    )
    for process, is_up in up.items():
        answers.add_metric([process], float(is_up))
    for process, number in restarts.items():
        started.add_metric([process], number)
    yield from (answers, started)
