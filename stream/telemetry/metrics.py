"""Every metric, named `stream_<what>_<unit>[_total]`; labels have a bounded set of values."""

import platform
from collections.abc import Iterator, Mapping, Sequence

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
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from stream import __version__
from stream.errors import Reason
from stream.telemetry.collectors import Sizes, Table

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_LONG_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_RECORDS = (1, 10, 50, 100, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000)
_BLOB_BYTES = (16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216)

PHASES = (
    "process",
    "begin",
    "produce",
    "flush",
    "offsets",
    "commit",
    "abort",
    "store",
    "transaction",
    "renew",  # the producer is replaced; named as in earlier versions
)


class Metrics:
    """The metrics of a worker, in their own registry, so that tests can have several in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._add_flow_metrics()
        self._add_transaction_metrics()
        self._add_partition_metrics()
        self._add_store_metrics()
        self._add_client_metrics()
        self._add_process_metrics()

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(name, help_text, labels, registry=self.registry)

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(name, help_text, labels, registry=self.registry)

    def _table(self, name: str, help_text: str, *labels: str) -> Table:
        return Table(name, help_text, labels, self.registry)

    def _histogram(self, name: str, help_text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, help_text, labels, buckets=buckets, registry=self.registry)

    def _add_flow_metrics(self) -> None:
        self.records = self._counter("stream_records_total", "Input records with a committed outcome.")
        self.input_bytes = self._counter("stream_input_bytes_total", "Keys and values of polled input.")
        self.words = self._counter("stream_words_total", "Words in committed results.")
        self.results = self._counter("stream_results_total", "Results committed.")
        self.dead_letters = self._counter("stream_dead_letters_total", "Dead letters committed.", "reason")
        for reason in Reason:
            self.dead_letters.labels(reason.value)
        self.blob_bytes = Sizes(
            "stream_blob_size_bytes",
            "Input records by the size of their value; a large batch is sampled and scaled up.",
            _BLOB_BYTES,
            self.registry,
        )
        self.latency = self._histogram(
            "stream_latency_seconds",
            "From a record's timestamp to its commit, for the oldest record of each transaction.",
            _LONG_SECONDS,
        )
        self.retries = self._counter("stream_retries_total", "Stages that failed and were retried.", "stage")
        self.injected_faults = self._counter(
            "stream_injected_faults_total", "Faults injected on purpose (STREAM_FAULTS).", "stage", "kind"
        )
        self.faults_on = self._gauge(
            "stream_faults_injected_on_purpose", "1 if STREAM_FAULTS makes stages fail."
        )

    def _add_transaction_metrics(self) -> None:
        self.transactions = self._counter("stream_transactions_total", "Transactions by outcome.", "outcome")
        for outcome in ("committed", "aborted", "in_doubt"):
            self.transactions.labels(outcome)
        self.phases = self._histogram(
            "stream_batch_phase_seconds",
            "Time of a batch in each phase; transaction covers begin, produce, offsets, commit and store.",
            _SECONDS,
            "phase",
        )
        self.batch_records = self._histogram(
            "stream_batch_size_records", "Input records of a transaction.", _RECORDS
        )
        self.changelog_records = self._counter(
            "stream_changelog_records_total", "Totals written to the count topic."
        )
        self.open_transaction = self._gauge(
            "stream_open_transaction_age_seconds", "Age of the open transaction; 0 if there is none."
        )
        self.last_commit = self._gauge("stream_last_commit_timestamp_seconds", "Time of the last commit.")
        self.poll_gap = self._histogram(
            "stream_poll_gap_seconds", "Time from the end of a poll to the next one.", _SECONDS
        )
        self.loop_seconds = self._counter(
            "stream_loop_seconds_total", "Time of the loop by activity.", "activity"
        )
        for phase in PHASES:  # a rate needs a series that starts at 0
            self.phases.labels(phase)

    def _add_partition_metrics(self) -> None:
        self.assigned = self._gauge("stream_assigned_partitions", "Partitions assigned to this worker.")
        self.rebalances = self._counter(
            "stream_rebalances_total", "Changes of the assignment, by event.", "event"
        )
        self.rebalance_seconds = self._histogram(
            "stream_rebalance_callback_seconds", "Time of a rebalance callback.", _SECONDS, "event"
        )
        for event in ("assigned", "revoked", "lost"):
            self.rebalances.labels(event)
            self.rebalance_seconds.labels(event)
        self.blocked = self._gauge("stream_paused_partitions", "Partitions that do not run.", "reason")
        for reason in ("restoring", "blocked"):
            self.blocked.labels(reason)
        self.lag_records = self._table(
            "stream_lag_records", "Input up to the last stable offset that is not processed yet.", "partition"
        )
        self.lag_seconds = self._table(
            "stream_lag_seconds",
            "Greatest possible age of unprocessed input; 0 if there is none.",
            "partition",
        )
        self.group_lag_records = self._table(
            "stream_group_lag_records",
            "Input up to the last stable offset that the group has not committed, in every partition.",
            "partition",
        )
        self.group_lag_stalled = self._table(
            "stream_group_lag_stalled_seconds",
            "Time for which no worker has committed an offset of a partition with lag, for every partition.",
            "partition",
        )
        self.last_stable_lag = self._table(
            "stream_last_stable_offset_lag_records", "Records above the last stable offset.", "topic"
        )
        self.last_stable_stalled = self._table(
            "stream_last_stable_offset_stalled_seconds",
            "Time for which a last stable offset below the end has not advanced.",
            "topic",
        )
        self.restored_records = self._counter("stream_restore_records_total", "Changelog records applied.")
        self.restore_remaining = self._gauge(
            "stream_restore_remaining_offsets", "Changelog offsets still to restore."
        )
        self.restore_seconds = self._histogram(
            "stream_restore_seconds", "Time from assignment to running, per partition.", _LONG_SECONDS
        )

    def _add_store_metrics(self) -> None:
        self.stores_set_aside = self._counter("stream_stores_set_aside_total", "Unusable stores set aside.")
        self.store_keys = self._table(
            "stream_store_keys", "Signatures in a store; an estimate until it is loaded.", "partition"
        )
        self.store_bytes = self._table("stream_store_bytes", "Size of RocksDB's data files.", "partition")
        self.store_memory = self._table("stream_store_memory_bytes", "Memory of RocksDB by purpose.", "part")
        self.store_compactions = self._table(
            "stream_store_background_jobs", "Running background jobs of RocksDB.", "kind"
        )
        self.store_stopped = self._gauge(
            "stream_store_writes_stopped", "Stores whose writes RocksDB has stopped."
        )
        self.disk_free = self._gauge("stream_state_disk_free_bytes", "Free disk space for STREAM_STATE_DIR.")

    def _add_client_metrics(self) -> None:
        client = ("client",)
        self.broker_away = self._gauge("stream_broker_away", "1 while the worker waits for Kafka.")
        self.client_rtt = self._table(
            "stream_client_rtt_seconds",
            "99th percentile of round trips to the slowest broker; a fetch without data waits half a second.",
            *client,
        )
        self.client_queue = self._table(
            "stream_client_queue_records", "Records in the client's queues.", *client
        )
        self.client_throttle = self._table(
            "stream_client_throttle_seconds", "Longest throttling by a broker.", *client
        )
        self.client_brokers = self._table("stream_client_brokers_up", "Connected brokers.", *client)
        self.client_errors = self._counter(
            "stream_client_errors_total", "Requests and responses that failed.", *client
        )
        self.client_retries = self._counter("stream_client_retries_total", "Requests sent again.", *client)
        self.client_timeouts = self._counter(
            "stream_client_timeouts_total", "Requests without a response.", *client
        )
        self.client_sent = self._counter("stream_client_sent_bytes_total", "Bytes sent to brokers.", *client)
        self.client_received = self._counter(
            "stream_client_received_bytes_total", "Bytes received from brokers.", *client
        )

    def _add_process_metrics(self) -> None:
        registry = self.registry
        add_process_metrics(registry)
        self.worker = Info("stream_worker", "Group and instance of this worker.", registry=registry)
        self.ready = self._gauge("stream_ready", "1 while /healthz/ready succeeds.")
        self.live = self._gauge("stream_live", "1 while the loop advances.")
        # Unlike process_start_time_seconds it changes with a restart in place, which keeps the process.
        self._gauge("stream_started_timestamp_seconds", "Time of the last start.").set_to_current_time()


class AuditMetrics:
    """The metrics of `verify --follow`."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.differences = Gauge(
            "stream_audit_differences", "Differences found so far, by kind.", ["kind"], registry=registry
        )
        self.records = Gauge("stream_audit_records", "Input records checked so far.", registry=registry)
        self.unchecked = Gauge("stream_audit_unchecked", "Items not checked.", registry=registry)
        self.last = Gauge(
            "stream_audit_last_round_timestamp_seconds", "Time when the last round ended.", registry=registry
        )


class ServeMetrics:
    """The metrics of `serve`. Those named `stream_view_*` are the same on every replica, except the age."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Histogram(
            "stream_serve_request_seconds",
            "Time until the head of a response was sent; a client may request to wait for an outcome.",
            ["route", "status"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.readers = Gauge("stream_serve_event_readers", "Readers of the event stream.", registry=registry)

        def table(name: str, help_text: str, *labels: str) -> Table:
            return Table(name, help_text, labels, registry)

        self.age = table(
            "stream_view_age_seconds", "The view contains everything committed this long ago.", "topic"
        )
        self.words = table("stream_view_words", "Words counted: the sum of all totals.")
        self.signatures = table("stream_view_signatures", "Signatures with a total.")
        self.top = table("stream_view_top_signature_words", "The greatest totals.", "signature")
        self.results = table("stream_view_results", "Results read.")
        self.dead_letters = table("stream_view_dead_letters", "Dead letters read.", "reason")
        add_process_metrics(registry)


def add_process_metrics(registry: CollectorRegistry) -> None:
    """Add what every process exports: its version, and the metrics of Python and the operating system."""
    build = {"version": __version__, "python": platform.python_version()}
    Info("stream_build", "Version of the software.", registry=registry).info(build)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)


def process_metrics(up: Mapping[str, bool], restarts: Mapping[str, int]) -> Iterator[Metric]:
    """Return the metrics of a supervisor about its processes."""
    answers = GaugeMetricFamily("stream_process_up", "1 if the process responds.", labels=["process"])
    started = CounterMetricFamily(
        "stream_process_restarts", "Restarts after an unexpected death.", labels=["process"]
    )
    for process, is_up in up.items():
        answers.add_metric([process], float(is_up))
    for process, number in restarts.items():
        started.add_metric([process], number)
    yield from (answers, started)
