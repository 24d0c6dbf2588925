"""What the worker does, told as log lines, metrics and answers to probes."""

from collections.abc import Sequence

import structlog

from stream.ports import Clock, Committed
from stream.telemetry.health import Health
from stream.telemetry.instrumented import Instruments
from stream.telemetry.metrics import Metrics

TOLD_EVERY_S = 5.0  # how often the progress of a partition's restore is logged


class WorkerObserver:
    """An `Observer` for one worker."""

    def __init__(
        self, metrics: Metrics, health: Health, clock: Clock, watch: Instruments, **context: object
    ) -> None:
        self._metrics = metrics
        self._health = health
        self._clock = clock
        self._watch = watch
        self._log = structlog.get_logger().bind(**context)
        self._told: dict[int, float] = {}  # partition -> when its restore was last logged
        metrics.broker_away.set_function(lambda: bool(health.waiting) or not health.connected)

    def started(self) -> None:
        """The worker joined the group."""
        with self._health.lock:
            self._health.started = True
        self._log.info("worker started")

    def ran_once(self) -> None:
        """The loop went round once."""
        self._health.turned = self._clock.monotonic()
        self._watch.turned("restore" if self._health.restoring else "other")

    def assigned(self, partitions: Sequence[int]) -> None:
        """The group gave us these."""
        self._health.assigned(partitions, self._clock.monotonic())
        self._watch.lag.assigned(partitions)
        self._metrics.rebalances.labels("assigned").inc()
        self._gauge()
        self._log.info("partitions assigned", partitions=sorted(partitions))

    def revoked(self, partitions: Sequence[int], *, lost: bool) -> None:
        """The group took these."""
        self._health.revoked(partitions)
        self._watch.lag.revoked(partitions)
        self._metrics.rebalances.labels("lost" if lost else "revoked").inc()
        self._gauge()
        self._log.info("partitions lost" if lost else "partitions revoked", partitions=sorted(partitions))

    def restoring(self, partition: int, position: int, end_offset: int) -> None:
        """A step of restore was made; one line now and then."""
        now = self._clock.monotonic()
        self._health.moved(partition, position, end_offset, now)
        self._gauge()
        if now - self._told.get(partition, -TOLD_EVERY_S) >= TOLD_EVERY_S:
            self._told[partition] = now
            self._log.info(
                "partition restoring", partition=partition, position=position, end_offset=end_offset
            )

    def restored(self, partition: int, records: int, seconds: float, input_offset: int) -> None:
        """The partition runs."""
        self._health.runs(partition)
        self._watch.lag.restored(partition, input_offset)
        self._told.pop(partition, None)
        self._metrics.restored_records.inc(records)
        self._metrics.restore_seconds.observe(seconds)
        self._gauge()
        self._log.info(
            "partition running",
            partition=partition,
            restored_records=records,
            seconds=round(seconds, 3),
            input_offset=input_offset,
        )

    def blocked(self, partition: int, why: str, hint: str) -> None:
        """The partition stays paused; said once, until it changes."""
        known = self._health.is_blocked(partition, why)
        self._gauge()
        if not known:
            self._log.error("partition blocked", partition=partition, why=why, fix=hint)

    def committed(self, what: Committed) -> None:
        """A transaction committed and is in the store."""
        metrics = self._metrics
        metrics.records.inc(what.records)
        metrics.words.inc(what.words)
        metrics.results.inc(what.results)
        metrics.changelog_records.inc(what.changes)
        metrics.batch_records.observe(what.records)
        metrics.transactions.labels("committed").inc()
        for reason, n in what.rejected.items():
            metrics.dead_letters.labels(reason).inc(n)
        for phase, seconds in what.seconds.items():
            metrics.phases.labels(phase).observe(seconds)
            self._watch.spent(phase, seconds)
        self._watch.committed(what.offsets)
        if what.rejected:
            self._log.warning(
                "records rejected", **{reason.replace("-", "_"): n for reason, n in what.rejected.items()}
            )

    def aborted(self, why: Exception) -> None:
        """A transaction was aborted and its input rewound."""
        self._metrics.transactions.labels("aborted").inc()
        self._log.warning("transaction aborted", why=str(why))

    def in_doubt(self, why: Exception) -> None:
        """The producer is being replaced."""
        self._health.in_doubt(self._clock.monotonic())
        self._watch.lag.stopped()
        self._metrics.transactions.labels("in_doubt").inc()
        self._gauge()
        self._log.warning("transaction in doubt", why=str(why))

    def retried(self, stage: str, attempt: int, why: Exception) -> None:
        """A stage failed."""
        self._metrics.retries.labels(stage).inc()
        self._log.debug("stage failed", stage=stage, attempt=attempt, why=str(why))

    def waiting(self, why: Exception) -> None:
        """The surroundings are away: one line, until they are back."""
        self._health.waiting = str(why)
        self._log.warning("waiting for Kafka", why=str(why))

    def resumed(self) -> None:
        """They are back."""
        self._health.waiting = ""
        self._log.info("Kafka is back")

    def connected(self, brokers: int) -> None:
        """The consumer is connected to so many brokers; said when to none, and when again to one."""
        is_connected = brokers > 0
        if is_connected != self._health.connected:
            self._health.connected = is_connected
            self._log.warning("broker connected again" if is_connected else "no broker is connected")

    def set_aside(self, partition: int, why: str) -> None:
        """A store lies under another name now."""
        self._metrics.stores_set_aside.inc()
        self._log.warning("store set aside", partition=partition, why=why)

    def stopping(self, why: str) -> None:
        """The worker comes to its end."""
        self._health.stopping = why
        self._log.info("worker stopping", why=why)

    def _gauge(self) -> None:
        health = self._health
        with health.lock:
            restoring, blocked = len(health.restoring), len(health.blocked)
            self._metrics.assigned.set(len(health.running) + restoring + blocked)
            self._metrics.blocked.labels("restoring").set(restoring)
            self._metrics.blocked.labels("blocked").set(blocked)
            self._metrics.restore_remaining.set(sum(at.remaining for at in health.restoring.values()))
