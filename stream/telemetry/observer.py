"""Turns the events of a worker into log lines, metrics and probe answers."""

from collections.abc import Sequence

import structlog

from stream.events import Committed
from stream.ports import Clock
from stream.telemetry.health import NO_PARTITION, Health
from stream.telemetry.instrumented import Instruments
from stream.telemetry.metrics import Metrics

RESTORE_LOG_INTERVAL_S = 5.0  # between log lines about the restore of one partition
CLOCK_LOG_INTERVAL_S = 600.0  # between log lines about the clock
CLOCK_AHEAD_S_MAX = 5.0  # as in doctor
NO_PARTITION_S = 45.0  # a session: longer than a rebalance takes
NO_PARTITION_LOG_INTERVAL_S = 60.0


class WorkerObserver:
    """An `Observer` for one worker."""

    def __init__(
        self, metrics: Metrics, health: Health, clock: Clock, instruments: Instruments, **context: object
    ) -> None:
        """`context`: fields of every log line."""
        self._metrics = metrics
        self._health = health
        self._clock = clock
        self._instruments = instruments
        self._log = structlog.get_logger().bind(**context)
        self._restore_logged_at: dict[int, float] = {}  # by partition, monotonic
        self._clock_logged_at = -CLOCK_LOG_INTERVAL_S  # monotonic
        self._no_partition_at: float | None = None  # when to log that no partition is assigned, monotonic
        metrics.broker_away.set_function(lambda: bool(health.waiting) or not health.connected)

    def started(self) -> None:
        with self._health.lock:
            self._health.started = True
        self._log.info("worker started")

    def ran_once(self) -> None:
        now = self._health.last_run_at = self._clock.monotonic()
        self._instruments.ran_once("restore" if self._health.restoring else "other")
        self._check_assignment(now)

    def assigned(self, partitions: Sequence[int]) -> None:
        self._health.assigned(partitions, self._clock.monotonic())
        self._instruments.lag.assigned(partitions)
        self._metrics.rebalances.labels("assigned").inc()
        self._update_gauges()
        self._log.info("partitions assigned", partitions=sorted(partitions))

    def revoked(self, partitions: Sequence[int], *, lost: bool) -> None:
        self._health.revoked(partitions)
        self._instruments.lag.revoked(partitions)
        self._metrics.rebalances.labels("lost" if lost else "revoked").inc()
        self._update_gauges()
        self._log.info("partitions lost" if lost else "partitions revoked", partitions=sorted(partitions))

    def restoring(self, partition: int, position: int, end_offset: int) -> None:
        """Log the progress of a restore, but not every step."""
        now = self._clock.monotonic()
        self._health.restore_moved(partition, position, end_offset, now)
        self._update_gauges()
        if now - self._restore_logged_at.get(partition, -RESTORE_LOG_INTERVAL_S) >= RESTORE_LOG_INTERVAL_S:
            self._restore_logged_at[partition] = now
            self._log.info(
                "partition restoring", partition=partition, position=position, end_offset=end_offset
            )

    def restored(self, partition: int, records: int, seconds: float, input_offset: int) -> None:
        self._health.restored(partition)
        self._instruments.lag.restored(partition, input_offset)
        self._restore_logged_at.pop(partition, None)
        self._metrics.restored_records.inc(records)
        self._metrics.restore_seconds.observe(seconds)
        self._update_gauges()
        self._log.info(
            "partition running",
            partition=partition,
            restored_records=records,
            seconds=round(seconds, 3),
            input_offset=input_offset,
        )
        self._log_if_ready()

    def blocked(self, partition: int, why: str, hint: str) -> None:
        """Log a reason once."""
        is_news = self._health.block(partition, why)
        self._update_gauges()
        if is_news:
            self._log.error("partition blocked", partition=partition, why=why, fix=hint)

    def committed(self, what: Committed) -> None:
        metrics = self._metrics
        metrics.records.inc(what.records)
        metrics.words.inc(what.items)
        metrics.results.inc(what.results)
        metrics.changelog_records.inc(what.changes)
        metrics.batch_records.observe(what.records)
        metrics.transactions.labels("committed").inc()
        for reason, n in what.rejected.items():
            metrics.dead_letters.labels(reason).inc(n)
        for phase, seconds in what.seconds.items():
            metrics.phases.labels(phase).observe(seconds)
            self._instruments.spent(phase, seconds)
        self._check_clock(self._instruments.committed(what.offsets))
        if what.rejected:
            self._log.warning(
                "records rejected", **{reason.replace("-", "_"): n for reason, n in what.rejected.items()}
            )

    def aborted(self, why: Exception) -> None:
        self._metrics.transactions.labels("aborted").inc()
        self._log.warning("transaction aborted", why=str(why))

    def in_doubt(self, why: Exception) -> None:
        self._health.in_doubt(self._clock.monotonic())
        self._instruments.lag.in_doubt()
        self._metrics.transactions.labels("in_doubt").inc()
        self._update_gauges()
        self._log.warning("transaction in doubt", why=str(why))

    def retried(self, stage: str, attempt: int, why: Exception) -> None:
        self._metrics.retries.labels(stage).inc()
        self._log.debug("stage failed", stage=stage, attempt=attempt, why=str(why))

    def waiting(self, why: Exception) -> None:
        self._health.waiting = str(why)
        self._log.warning("waiting for Kafka", why=str(why))

    def resumed(self) -> None:
        self._health.waiting = ""
        self._log.info("Kafka is available again")

    def connected(self, brokers: int) -> None:
        """Log a change between some and no connected brokers of the consumer."""
        is_connected = brokers > 0
        if is_connected != self._health.connected:
            self._health.connected = is_connected
            self._log.warning("broker connected again" if is_connected else "no broker is connected")

    def set_aside(self, partition: int, why: str) -> None:
        self._metrics.stores_set_aside.inc()
        self._log.warning("store set aside", partition=partition, why=why)

    def stopping(self, why: str) -> None:
        self._health.stopping = why
        self._log.info("worker stopping", why=why)

    def _check_assignment(self, now: float) -> None:
        """Log regularly that this worker has no partition, so it counts nothing."""
        if self._health.has_partitions:
            self._no_partition_at = None
        elif self._no_partition_at is None:
            self._no_partition_at = now + NO_PARTITION_S
        elif now >= self._no_partition_at:
            self._no_partition_at = now + NO_PARTITION_LOG_INTERVAL_S
            self._log.warning("no partition", why=NO_PARTITION, fix="anagram-stream lag")

    def _check_clock(self, ahead_s: float) -> None:
        """Log that input has future timestamps: Kafka does not report the time of its brokers."""
        now = self._clock.monotonic()
        if ahead_s > CLOCK_AHEAD_S_MAX and now - self._clock_logged_at >= CLOCK_LOG_INTERVAL_S:
            self._clock_logged_at = now
            self._log.warning(
                "clocks differ",
                why=f"an input record is {ahead_s:.0f} s ahead of this machine: its clock or that of a "
                "producer is wrong, so lag and latency in seconds are wrong; the counts are correct",
                fix="synchronize the clock of this machine (timedatectl set-ntp true) or of the producer",
            )

    def _log_if_ready(self) -> None:
        """Log that all assigned partitions run, when the last one starts."""
        health = self._health
        with health.lock:
            running, paused = len(health.running), len(health.restoring) + len(health.blocked)
        if not paused:
            self._log.info("ready", running=running, assigned=running)

    def _update_gauges(self) -> None:
        health = self._health
        with health.lock:
            restoring, blocked = len(health.restoring), len(health.blocked)
            self._metrics.assigned.set(len(health.running) + restoring + blocked)
            self._metrics.blocked.labels("restoring").set(restoring)
            self._metrics.blocked.labels("blocked").set(blocked)
            self._metrics.restore_remaining.set(
                sum(progress.remaining for progress in health.restoring.values())
            )
