"""Every metric of the worker, in one class: `stream_<what>_<unit>[_total]`, labels of a bounded set."""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from stream import __version__
from stream.errors import Reason

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


class Metrics:
    """One registry of its own, so that several workers or tests may live in one process."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        Info("stream_build", "What runs.", registry=registry).info({"version": __version__})
        self.records = Counter(
            "stream_records_total", "Input records with a committed outcome.", registry=registry
        )
        self.words = Counter("stream_words_total", "Words in committed results.", registry=registry)
        self.results = Counter("stream_results_total", "Results committed.", registry=registry)
        self.dead_letters = Counter(
            "stream_dead_letters_total", "Dead letters committed.", ["reason"], registry=registry
        )
        for reason in Reason:
            self.dead_letters.labels(reason.value)
        self.transactions = Counter(
            "stream_transactions_total", "Transactions by outcome.", ["outcome"], registry=registry
        )
        for outcome in ("committed", "aborted", "in_doubt"):
            self.transactions.labels(outcome)
        self.phases = Histogram(
            "stream_batch_phase_seconds",
            "How long a batch was in a phase.",
            ["phase"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.changelog_records = Counter(
            "stream_changelog_records_total", "Totals written.", registry=registry
        )
        self.retries = Counter(
            "stream_retries_total", "Attempts that failed in passing.", ["stage"], registry=registry
        )
        self.injected_faults = Counter(
            "stream_injected_faults_total",
            "Faults injected on purpose (STREAM_FAULTS).",
            ["stage", "kind"],
            registry=registry,
        )
        self._of_partitions(registry)

    def _of_partitions(self, registry: CollectorRegistry) -> None:
        self.assigned = Gauge("stream_assigned_partitions", "Partitions that are ours.", registry=registry)
        self.rebalances = Counter(
            "stream_rebalances_total", "Partitions came or went.", ["event"], registry=registry
        )
        self.blocked = Gauge(
            "stream_paused_partitions", "Partitions that do not run.", ["reason"], registry=registry
        )
        self.restored_records = Counter(
            "stream_restore_records_total", "Changelog records applied.", registry=registry
        )
        self.restore_remaining = Gauge(
            "stream_restore_remaining_offsets", "Changelog offsets still to restore.", registry=registry
        )
        self.broker_away = Gauge(
            "stream_broker_away", "1 while the worker waits for Kafka.", registry=registry
        )
        self.stores_set_aside = Counter(
            "stream_stores_set_aside_total", "Stores put aside.", registry=registry
        )


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


def of_processes(up: Mapping[str, bool], restarts: Mapping[str, int]) -> Iterator[Metric]:
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
