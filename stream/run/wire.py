"""The composition root: settings -> a worker. Only here are the adapters named."""

import gc
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from stream.config import Settings
from stream.core.codec import decode_blob, encode_result
from stream.core.dead_letter import dead_letter
from stream.core.dictionary import AnagramIndex
from stream.core.engine import Engine
from stream.core.records import InputRecord
from stream.core.text import words
from stream.errors import Rejected
from stream.kafka import clients, topics
from stream.kafka.offsets import Offsets
from stream.kafka.reader import KafkaReader
from stream.kafka.sink import KafkaSink
from stream.kafka.source import GatherLimits, KafkaSource
from stream.kafka.topics import TopicFacts, Topics
from stream.ports import Clock
from stream.run.clock import SystemClock
from stream.run.disturb import DisturbedProcessor, SharedWaits
from stream.run.faults import FaultPlan, Faults, load_plan
from stream.run.loop import Limits, Worker
from stream.run.prepare import announce, load_dictionary, survey, turn_s_max
from stream.run.process import Bury, Count, Outcome, Processor
from stream.run.restore import STALLED_S_MAX, RestoreNames, Restorer
from stream.run.retry import Retrier
from stream.store.rocks import RocksStores, StoreIdentity
from stream.store.slots import Slot, claim_slot
from stream.telemetry.metrics import Metrics
from stream.telemetry.observer import Health, WorkerObserver
from stream.telemetry.server import TelemetryServer

CLIENT_FRAMING_BYTES = 1024  # what librdkafka may count besides


@dataclass(frozen=True, slots=True)
class Shared:
    """What a supervisor did once for all its workers.

    Attributes:
        socket: where the probes and metrics of this one are asked for.
    """

    index: AnagramIndex
    socket: Path


def run_worker(settings: Settings, clock: SystemClock, shared: Shared | None = None) -> None:
    """Run one worker until `clock` is stopped; with `shared`, one of several.

    Raises:
        Fatal: it could not start or go on.
    """
    plan = load_plan(settings.faults)
    metrics, health = Metrics(), Health()
    host = settings.http_host if shared is None else str(shared.socket)
    with (
        ThreadPoolExecutor(1, "dictionary") as aside,  # loaded while Kafka is reached
        TelemetryServer(
            host, settings.http_port, metrics, health, clock, turn_s_max(settings, plan)
        ) as server,
        claim_slot(settings.state_dir, settings.group_id, settings.instance_id) as slot,
    ):
        if shared is None:
            announce(settings, server.port, plan)
        loading = aside.submit(lambda: load_dictionary(settings) if shared is None else shared.index)
        found = survey(settings, clock, is_first=shared is None)
        if found is None:
            return
        index = loading.result()
        _collect_seldom()
        observer = WorkerObserver(metrics, health, clock, group=settings.group_id, instance=slot.instance_id)
        processor = _processor(settings, found, index, clock, observer, metrics, plan)
        worker = _wire(settings, found, slot, index, clock, observer, processor)
        worker.run(lambda: clock.stopped)
        observer.stopping("drained")


def _wire(  # noqa: PLR0913, PLR0917 - what a worker is made of
    settings: Settings,
    found: Topics,
    slot: Slot,
    index: AnagramIndex,
    clock: SystemClock,
    observer: WorkerObserver,
    processor: Processor,
) -> Worker:
    offsets = Offsets(lambda: clients.make_admin(settings))
    source = KafkaSource(
        clients.member_options(settings, slot.instance_id),
        offsets,
        settings.input_topic,
        GatherLimits(
            settings.batch_records_max, settings.batch_bytes_max, settings.commit_interval_ms / 1000
        ),
    )
    sink = KafkaSink(
        clients.transactional_options(settings, slot.instance_id, found.batch_bytes_max),
        topics.names(settings),
        settings.transaction_timeout_ms / 1000,
    )
    reader = KafkaReader(clients.reader_options(settings), offsets, settings.count_topic)
    identity = StoreIdentity(found.cluster_id, found.input.id, found.count.id, index.digest)
    stores = RocksStores(slot.folder, identity, clock, observer)
    names = RestoreNames(
        settings.input_topic,
        settings.count_topic,
        index.digest,
        _reset_command(settings),
        max(STALLED_S_MAX, 2 * settings.transaction_timeout_ms / 1000 + 30),
    )
    restorer = Restorer(source, sink, reader, stores, clock, observer, names)
    limits = Limits(settings.rejected_in_a_row_max, index.digest)
    return Worker(source, sink, reader, processor, restorer, clock, observer, limits)


def _processor(  # noqa: PLR0913, PLR0917 - what a processor is made of
    settings: Settings,
    found: Topics,
    index: AnagramIndex,
    clock: SystemClock,
    observer: WorkerObserver,
    metrics: Metrics,
    plan: FaultPlan | None,
) -> Processor:
    """Return a processor; with a plan, one whose stages fail by it."""
    count, bury = _counting(settings, found, index), _burying(settings, found, clock)
    jitter, deadline_s = random.Random(), settings.batch_deadline_ms / 1000  # noqa: S311

    def retrier(waits: Clock) -> Retrier:
        return Retrier(waits, observer, settings.retry_attempts_max, jitter, lambda: clock.stopped)

    if plan is None:
        return Processor(count, bury, retrier(clock), clock, deadline_s)
    waits = SharedWaits(clock)

    def tokens(record: InputRecord) -> list[str]:
        return words(decode_blob(record, settings.input_format, settings.text_bytes_max).text)

    def tell(stage: str, kind: str, n: int) -> None:
        metrics.injected_faults.labels(stage, kind).inc(n)

    return DisturbedProcessor(count, bury, retrier(waits), waits, deadline_s, Faults(plan), tokens, tell)


def _collect_seldom() -> None:
    """Leave the dictionary out of garbage collection, and look for garbage less often.

    A batch is many objects and no cycles, but for the tracebacks of rejected records: counting takes a sixth
    less time so, rejecting a half.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _counting(settings: Settings, found: Topics, index: AnagramIndex) -> Count:
    engine = Engine(index)
    topic, record_bytes_max = settings.result_topic, _fits(settings, found.result)

    def count(record: InputRecord) -> Outcome:
        blob = decode_blob(record, settings.input_format, settings.text_bytes_max)
        decision = engine.count(blob.text)
        result = encode_result(
            record, blob.blob_id, decision, topic, settings.result_bytes_max, record_bytes_max
        )
        return Outcome(result, decision.deltas, decision.words)

    return count


def _burying(settings: Settings, found: Topics, clock: Clock) -> Bury:
    def bury(record: InputRecord, why: Rejected) -> Outcome:
        letter = dead_letter(
            record,
            why,
            topic=settings.dead_letter_topic,
            group=settings.group_id,
            failed_at=datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="milliseconds"),
            bytes_max=_fits(settings, found.dead_letter),
        )
        return Outcome(letter, rejected=why)

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
