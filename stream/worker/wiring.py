"""The composition root: settings -> a worker. Only here are the adapters named."""

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from stream.config import Settings
from stream.core.codec import ResultEncoder, decode_blob
from stream.core.dead_letter import to_dead_letter
from stream.core.engine import Engine
from stream.core.fold import BlobCounter
from stream.core.lexicon import Packed, pack
from stream.core.records import InputRecord, OutputRecord
from stream.core.text import words
from stream.errors import Rejected
from stream.exercise.faults import DELAY, Failure, FaultPlan, Faults, Stage, load_plan
from stream.kafka import clients, topics
from stream.kafka.offsets import Offsets
from stream.kafka.offsets_poller import OffsetsPoller
from stream.kafka.reader import KafkaReader
from stream.kafka.sink import KafkaSink
from stream.kafka.source import BatchLimits, KafkaSource
from stream.kafka.topics import TopicFacts, Topics
from stream.ports import Aside, Clock
from stream.store.rocks import RocksStores, StoreIdentity
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
from stream.worker.clock import SystemClock
from stream.worker.counted import Limits
from stream.worker.fault_injection import FaultInjectingProcessor, SharedWaits
from stream.worker.loop import Worker
from stream.worker.memory import collect_seldom, keep_memory_small
from stream.worker.processing import Bury, Processor
from stream.worker.restore import STALLED_S_MAX, RestoreNames, Restorer
from stream.worker.retry import Retrier
from stream.worker.startup import announce, check_topics, load_words, run_once_s_max

CLIENT_FRAMING_BYTES = 1024  # what librdkafka may count besides
SharedFold = Packed


@dataclass(frozen=True, slots=True)
class Shared:
    """What a supervisor did once for all its workers.

    Attributes:
        fold: loaded once.
        socket: where the probes and metrics of this one are asked for.
    """

    fold: SharedFold
    socket: Path


def load_shared_fold(settings: Settings) -> SharedFold:
    """Load what all workers of a supervisor share in memory.

    Raises:
        Misconfigured: the dictionary cannot be read.
    """
    return pack(load_words(settings))


def run_worker(settings: Settings, clock: SystemClock, shared: Shared | None = None) -> None:
    """Run one worker until `clock` is stopped; with `shared`, one of several.

    Raises:
        Fatal: it could not start or go on.
    """
    plan = load_plan(settings.faults)
    keep_memory_small()
    metrics, health = Metrics(), Health()
    watch = Instruments(metrics, Lag(clock), clock)
    host = settings.http_host if shared is None else str(shared.socket)
    with (
        ThreadPoolExecutor(1, "aside") as aside,  # loads the dictionary, then commits
        TelemetryServer(
            host, settings.http_port, metrics, health, clock, run_once_s_max(settings, plan)
        ) as server,
        claim_slot(settings.state_dir, settings.group_id, settings.instance_id) as slot,
    ):
        if shared is None:
            announce(settings, server.port, plan)
        loading = aside.submit(lambda: load_words(settings) if shared is None else shared.fold.unpack())
        found = check_topics(settings, clock, is_first=shared is None)
        if found is None:
            return
        engine = Engine(loading.result())
        observer = _observer(settings, slot, metrics, health, clock, watch)
        _know_stages(metrics, plan)
        collect_seldom()
        counting_s_max = settings.transaction_timeout_ms / 1000 / 3
        limits = Limits(settings.rejected_in_a_row_max, counting_s_max, engine.digest, engine.signatures)
        processor = _processor(settings, found, engine, clock, observer, metrics, plan)
        worker = _wire(settings, found, slot, limits, clock, observer, processor, watch, aside)
        with closing(_surroundings(settings, watch)):
            worker.run(lambda: clock.stopped)
        observer.stopping("drained")


def _wire(  # noqa: PLR0913, PLR0917 - what a worker is made of
    settings: Settings,
    found: Topics,
    slot: Slot,
    limits: Limits,
    clock: SystemClock,
    observer: WorkerObserver,
    processor: Processor,
    watch: Instruments,
    aside: Aside,
) -> Worker:
    offsets = Offsets(lambda: clients.make_admin(settings))
    stats = ClientStats(watch.metrics, watch.lag, settings.input_topic, observer.connected)
    source = KafkaSource(
        clients.with_statistics(
            clients.member_options(settings, slot.instance_id), STATISTICS_MS, stats.of("consumer")
        ),
        offsets,
        settings.input_topic,
        BatchLimits(settings.batch_records_max, settings.batch_bytes_max, settings.commit_interval_ms / 1000),
    )
    sink = KafkaSink(
        clients.with_statistics(
            clients.transactional_options(settings, slot.instance_id, found.batch_bytes_max),
            STATISTICS_MS,
            stats.of("producer"),
        ),
        topics.names(settings),
        settings.transaction_timeout_ms / 1000,
    )
    reader = KafkaReader(clients.reader_options(settings), offsets, settings.count_topic)
    identity = StoreIdentity(found.cluster_id, found.input.id, found.count.id, limits.dictionary)
    stores = InstrumentedStores(RocksStores(slot.folder, identity, clock, observer), watch, slot.folder)
    names = RestoreNames(
        settings.input_topic,
        settings.count_topic,
        limits.dictionary,
        _reset_command(settings),
        max(STALLED_S_MAX, 2 * settings.transaction_timeout_ms / 1000 + 30),
    )
    watched = InstrumentedSource(source, watch, stores.sample)
    transactions = InstrumentedSink(sink, watch)
    restorer = Restorer(watched, transactions, reader, stores, clock, observer, names)
    worker = Worker(watched, transactions, reader, processor, restorer, clock, observer, limits, aside)
    stores.totals = lambda: {p.number: p.totals for p in worker.assignment if p.totals is not None}
    return worker


def _processor(  # noqa: PLR0913, PLR0917 - what a processor is made of
    settings: Settings,
    found: Topics,
    engine: Engine,
    clock: SystemClock,
    observer: WorkerObserver,
    metrics: Metrics,
    plan: FaultPlan | None,
) -> Processor:
    """Return a processor; with a plan, one whose stages fail by it."""
    count, bury = _counting(settings, found, engine).count, _burying(settings, found, clock)
    if plan is None:
        return Processor(count, bury, clock)
    waits, jitter = SharedWaits(clock), random.Random()  # noqa: S311
    retrier = Retrier(waits, observer, settings.retry_attempts_max, jitter, lambda: clock.stopped)

    def tokens(record: InputRecord) -> list[str]:
        return words(decode_blob(record, settings.input_format, settings.text_bytes_max).text)

    def tell(stage: str, kind: str, n: int) -> None:
        metrics.injected_faults.labels(stage, kind).inc(n)

    deadline_s = settings.batch_deadline_ms / 1000
    return FaultInjectingProcessor(count, bury, retrier, waits, deadline_s, Faults(plan), tokens, tell)


def _observer(  # noqa: PLR0913, PLR0917 - what it tells, and whose it is
    settings: Settings, slot: Slot, metrics: Metrics, health: Health, clock: Clock, watch: Instruments
) -> WorkerObserver:
    """Return who logs and measures; every line says from here on whose it is."""
    own = {"group": settings.group_id, "instance": slot.instance_id}
    structlog.contextvars.bind_contextvars(**own)
    metrics.worker.info({"group": settings.group_id, "worker": slot.instance_id})
    return WorkerObserver(metrics, health, clock, watch, **own)


def _surroundings(settings: Settings, watch: Instruments) -> ClusterMonitor:
    """Return who looks at the cluster, with a client of its own."""
    names = list(topics.names(settings).values())
    onlooker = OffsetsPoller(lambda: clients.make_admin(settings), names, settings.group_id)
    return ClusterMonitor(onlooker.look, settings.input_topic, watch.metrics, watch.lag, watch.clock)


def _know_stages(metrics: Metrics, plan: FaultPlan | None) -> None:
    """Let the series of every stage begin at 0."""
    metrics.faults_on.set(plan is not None)
    for stage in Stage:
        metrics.retries.labels(stage.value)
        for kind in (DELAY, *Failure):
            metrics.injected_faults.labels(stage.value, str(kind))


def _counting(settings: Settings, found: Topics, engine: Engine) -> BlobCounter:
    encoder = ResultEncoder(settings.result_topic, settings.result_bytes_max, _fits(settings, found.result))
    return BlobCounter(engine, encoder, settings.input_format, settings.text_bytes_max)


def _burying(settings: Settings, found: Topics, clock: Clock) -> Bury:
    def bury(record: InputRecord, why: Rejected) -> OutputRecord:
        return to_dead_letter(
            record,
            why,
            topic=settings.dead_letter_topic,
            group=settings.group_id,
            failed_at=datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="milliseconds"),
            bytes_max=_fits(settings, found.dead_letter),
        )

    return bury


def _fits(settings: Settings, topic: TopicFacts) -> int:
    """Return the longest record that both the topic and our producer take."""
    return min(topic.record_bytes_max, clients.message_bytes_max(settings) - CLIENT_FRAMING_BYTES)


def _reset_command(settings: Settings) -> str:
    """Kafka's own tool moves a group's offset; the partition is filled in later."""
    return (
        f"kafka-consumer-groups.sh --bootstrap-server {settings.bootstrap_servers} "
        f"--group {settings.group_id} --topic {settings.input_topic}:{{partition}} "
        "--reset-offsets --to-earliest --execute"
    )
