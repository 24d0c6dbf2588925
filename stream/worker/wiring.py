"""The composition root: builds a worker from settings. Only this module names the adapters."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from stream.config import Settings
from stream.core.anagrams import AnagramFold
from stream.core.codec import ResultEncoder, decode_blob
from stream.core.dead_letter import DeadLetterFactory, to_dead_letter
from stream.core.engine import Engine
from stream.core.event_time import HEADER_BYTES_MAX
from stream.core.fold import Fold
from stream.core.group_protocol import CLASSIC
from stream.core.lexicon import Packed, pack
from stream.core.records import InputRecord, OutputRecord
from stream.core.text import words
from stream.core.totals import SignatureTotals
from stream.errors import Rejected
from stream.exercise.faults import DELAY, Failure, FaultPlan, Faults, Stage, load_plan
from stream.kafka import clients, topics
from stream.kafka.event_time import EventTime
from stream.kafka.input_records import BatchLimits
from stream.kafka.membership import Membership
from stream.kafka.offsets import Offsets
from stream.kafka.offsets_poller import OffsetsPoller
from stream.kafka.output_logs import OutputLogs
from stream.kafka.reader import KafkaReader
from stream.kafka.sink import KafkaSink
from stream.kafka.source import KafkaSource
from stream.kafka.topic_watch import TopicWatch
from stream.kafka.topics import TopicFacts, Topics
from stream.ports import Source
from stream.store.identity import StoreIdentity
from stream.store.rocks import RocksStores
from stream.store.slots import Slot, claim_slot
from stream.telemetry.client_stats import STATISTICS_MS, ClientStats
from stream.telemetry.cluster_monitor import ClusterMonitor
from stream.telemetry.health import Health
from stream.telemetry.instrumented import InstrumentedSink, InstrumentedSource, Instruments
from stream.telemetry.instrumented_stores import InstrumentedStores
from stream.telemetry.lag import Lag
from stream.telemetry.metrics import Metrics
from stream.telemetry.observer import WorkerObserver
from stream.telemetry.server import TelemetryServer
from stream.telemetry.watchdog import HangLimits
from stream.worker.assignment import Assignment
from stream.worker.clock import SystemClock
from stream.worker.fault_injection import (
    FaultInjectingFold,
    FaultInjectingSource,
    InjectedStages,
    Rejections,
    SharedWaits,
)
from stream.worker.loop import Worker
from stream.worker.memory import collect_seldom, keep_memory_small
from stream.worker.processing import ProcessingLimits, Processor
from stream.worker.restore import STALLED_S_MAX, RestoreConfig, Restorer
from stream.worker.retry import Retrier
from stream.worker.startup import (
    announce,
    call_s_max,
    check_topics,
    load_words,
    run_once_s_max,
    settle_protocol,
)

CLIENT_FRAMING_BYTES = 1024  # the most that librdkafka adds to the size of a record
PROCESSING_SHARE = 1 / 3  # of the transaction timeout
SharedFold = Packed


@dataclass(frozen=True, slots=True)
class Shared:
    """What a supervisor passes to each of its workers.

    Attributes:
        fold: loaded once for all workers.
        socket: path of the socket for the probes and metrics of this worker.
        polls_group: returns whether this worker exports the lag of the whole group; one of them does.
    """

    fold: SharedFold
    socket: Path
    polls_group: Callable[[], bool]


def load_shared_fold(settings: Settings) -> SharedFold:
    """Load what all workers of a supervisor share in memory.

    Raises:
        Misconfigured: the dictionary cannot be read.
    """
    return pack(load_words(settings))


def run_worker(
    settings: Settings, clock: SystemClock, on_hang: Callable[[], None], shared: Shared | None = None
) -> None:
    """Run one worker until `clock` is stopped; with `shared`, one of several.

    `on_hang` stops the process when its loop hangs.

    Raises:
        Fatal: the worker cannot start or continue.
    """
    plan = load_plan(settings.faults)
    keep_memory_small()
    metrics, health = Metrics(), Health()
    instruments = Instruments(metrics, Lag(clock), clock)
    host = settings.http_host if shared is None else str(shared.socket)
    limits = HangLimits(
        run_once_s_max(settings, plan), call_s_max(settings), lambda: instruments.call_began_s, on_hang
    )
    with (
        TelemetryServer(host, settings.http_port, metrics, health, clock, limits) as server,
        claim_slot(settings.state_dir, settings.group_id, settings.instance_id) as slot,
    ):
        if shared is None:
            announce(settings, server.port, plan)
        with ThreadPoolExecutor(1, "dictionary") as executor:
            loading = executor.submit(
                lambda: load_words(settings) if shared is None else shared.fold.unpack()
            )
            checked = check_topics(settings, clock, is_first=shared is None)
            protocol = settle_protocol(settings, clock, is_first=shared is None)
        if checked is None or protocol is None:
            return
        parts = _Parts(settings, protocol, checked, slot, clock, instruments, plan)
        fold = parts.fold(Engine(loading.result()))
        observer = parts.observer(health)
        parts.initialise_stage_metrics()
        collect_seldom()
        worker = parts.worker(fold, observer)
        with closing(parts.cluster_monitor(shared.polls_group if shared else lambda: True)):
            worker.run(lambda: clock.stopped)
        observer.stopping("drained")


@dataclass(frozen=True, slots=True)
class _Parts:
    """Builds the parts of one worker."""

    settings: Settings
    protocol: str
    topics: Topics
    slot: Slot
    clock: SystemClock
    instruments: Instruments
    plan: FaultPlan | None

    def worker(self, fold: Fold, observer: WorkerObserver) -> Worker:
        """Wire the worker; with a fault plan, source and fold inject its faults."""
        settings, clock, assignment = self.settings, self.clock, Assignment()
        offsets = Offsets(lambda: clients.make_admin(settings))
        stats = ClientStats(
            self.instruments.metrics, self.instruments.lag, settings.input_topic, observer.connected
        )
        stores = self._stores(fold, assignment, observer)
        source: Source = InstrumentedSource(self._source(offsets, stats), self.instruments, stores.sample)
        if self.plan is not None:
            rejections: Rejections = {}
            source = self._fault_injecting(source, self.plan, rejections, observer)
            fold = FaultInjectingFold(fold, rejections)
        sink = InstrumentedSink(self._sink(offsets, stats), self.instruments)
        reader = KafkaReader(clients.reader_options(settings), offsets, settings.count_topic)
        config = RestoreConfig(
            topics.names(settings), max(STALLED_S_MAX, 2 * settings.transaction_timeout_ms / 1000 + 30)
        )
        restorer = Restorer(source, sink, reader, stores, fold, assignment, clock, observer, config)
        processing_s_max = settings.transaction_timeout_ms / 1000 * PROCESSING_SHARE
        limits = ProcessingLimits(settings.rejected_in_a_row_max, processing_s_max)
        processor = Processor(fold, self._dead_letter_factory(), assignment, clock, limits)
        return Worker(source, sink, reader, processor, assignment, restorer, clock, observer)

    def fold(self, engine: Engine) -> AnagramFold:
        settings = self.settings
        encoder = ResultEncoder(
            settings.result_topic, settings.result_bytes_max, self._record_bytes_max(self.topics.result)
        )
        return AnagramFold(engine, encoder, settings.input_format, settings.text_bytes_max)

    def observer(self, health: Health) -> WorkerObserver:
        """Return the observer that logs and measures; from now on every log line names the worker."""
        own = {"group": self.settings.group_id, "instance": self.slot.instance_id}
        structlog.contextvars.bind_contextvars(**own)
        metrics = self.instruments.metrics
        metrics.worker.info({"group": self.settings.group_id, "worker": self.slot.instance_id})
        return WorkerObserver(metrics, health, self.clock, self.instruments, **own)

    def cluster_monitor(self, polls_group: Callable[[], bool]) -> ClusterMonitor:
        """Return the monitor that polls the cluster for metrics, with its own client."""
        settings, instruments = self.settings, self.instruments
        names = list(topics.names(settings).values())
        poller = OffsetsPoller(lambda: clients.make_admin(settings), clients.reader_options(settings), names)
        metrics, lag = instruments.metrics, instruments.lag
        return ClusterMonitor(poller, settings.input_topic, metrics, lag, self.clock, polls_group=polls_group)

    def initialise_stage_metrics(self) -> None:
        """Create the series of every stage, so that they start at 0."""
        metrics = self.instruments.metrics
        metrics.faults_on.set(self.plan is not None)
        for stage in Stage:
            metrics.retries.labels(stage.value)
            for kind in (DELAY, *Failure):
                metrics.injected_faults.labels(stage.value, str(kind))

    def _source(self, offsets: Offsets, stats: ClientStats) -> KafkaSource:
        settings, update = self.settings, stats.callback_for("consumer")
        partitions = range(self.topics.input.partitions if self.protocol == CLASSIC else 0)
        membership = Membership(
            lambda: clients.make_admin(settings), settings.group_id, settings.input_topic, partitions
        )

        def on_statistics(document: str) -> None:
            update(document)
            membership.observe(document)

        options = clients.with_statistics(
            clients.member_options(settings, self.slot.instance_id, self.protocol),
            STATISTICS_MS,
            on_statistics,
        )
        limits = BatchLimits(
            settings.batch_records_max, settings.batch_bytes_max, settings.commit_interval_ms / 1000
        )
        stays = settings.static_membership
        return KafkaSource(options, offsets, settings.input_topic, limits, membership, stays=stays)

    def _sink(self, offsets: Offsets, stats: ClientStats) -> KafkaSink:
        settings, names = self.settings, topics.names(self.settings)
        options = clients.with_statistics(
            clients.transactional_options(settings, self.slot.instance_id, self.topics.batch_bytes_max),
            STATISTICS_MS,
            stats.callback_for("producer"),
        )
        watch = TopicWatch(lambda: clients.make_admin(settings), names, self.topics.ids)
        logs = OutputLogs(clients.reader_options(settings), offsets, names)
        limits = self.topics.result.timestamp_limits, self.topics.dead_letter.timestamp_limits
        timeout_s = settings.transaction_timeout_ms / 1000
        return KafkaSink(options, names, timeout_s, watch, logs, EventTime(*limits))

    def _stores(self, fold: Fold, assignment: Assignment, observer: WorkerObserver) -> InstrumentedStores:
        checked, folder = self.topics, self.slot.folder
        identity = StoreIdentity(checked.cluster_id, checked.input.id, checked.count.id, fold.digest)
        stores = RocksStores(folder, identity, self.clock, observer)
        return InstrumentedStores(stores, self.instruments, folder, lambda: _signature_totals(assignment))

    def _fault_injecting(
        self, source: Source, plan: FaultPlan, rejections: Rejections, observer: WorkerObserver
    ) -> FaultInjectingSource:
        settings = self.settings
        waits, jitter = SharedWaits(self.clock), random.Random()  # noqa: S311
        retrier = Retrier(waits, observer, settings.retry_attempts_max, jitter, lambda: self.clock.stopped)
        stages = InjectedStages(Faults(plan), self._tokens, retrier, waits, self._count_injected)
        return FaultInjectingSource(source, stages, rejections, waits, settings.batch_deadline_ms / 1000)

    def _tokens(self, record: InputRecord) -> list[str]:
        return words(decode_blob(record, self.settings.input_format, self.settings.text_bytes_max).text)

    def _count_injected(self, stage: str, kind: str, number: int) -> None:
        self.instruments.metrics.injected_faults.labels(stage, kind).inc(number)

    def _dead_letter_factory(self) -> DeadLetterFactory:
        settings, clock = self.settings, self.clock
        bytes_max = self._record_bytes_max(self.topics.dead_letter)

        def make(record: InputRecord, rejected: Rejected) -> OutputRecord:
            return to_dead_letter(
                record,
                rejected,
                topic=settings.dead_letter_topic,
                group=settings.group_id,
                failed_at=datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="milliseconds"),
                bytes_max=bytes_max,
            )

        return make

    def _record_bytes_max(self, topic: TopicFacts) -> int:
        """Return the size of the largest record that topic and client accept, minus the timestamp header."""
        client_max = clients.message_bytes_max(self.settings) - CLIENT_FRAMING_BYTES
        return min(topic.record_bytes_max, client_max) - HEADER_BYTES_MAX


def _signature_totals(assignment: Assignment) -> dict[int, SignatureTotals]:
    return {p: totals for p, totals in assignment.totals().items() if isinstance(totals, SignatureTotals)}
