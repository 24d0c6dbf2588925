"""What the worker does, told as log lines, metrics and answers to probes."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from stream.ports import Clock, Committed
from stream.telemetry.metrics import Metrics

LIVE_S_MAX = 60.0  # a turn of the loop takes at most a batch's deadline and a transaction's timeout


@dataclass(slots=True)
class Health:
    """What the probes answer with; written by the loop, read by the HTTP server's threads."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    started: bool = False
    stopping: str = ""
    waiting: str = ""
    turned: float = 0.0
    restoring: dict[int, int] = field(default_factory=dict)  # partition -> offsets still to restore
    running: set[int] = field(default_factory=set)
    blocked: dict[int, str] = field(default_factory=dict)

    def reasons_not_ready(self) -> list[str]:
        """Return why the worker is not ready; nothing when it is."""
        with self.lock:
            reasons = [] if self.started else ["not joined yet"]
            reasons += [f"stopping: {self.stopping}"] if self.stopping else []
            reasons += [f"waiting: {self.waiting}"] if self.waiting else []
            reasons += [
                f"partition {p} restoring, {n} offsets remain" for p, n in sorted(self.restoring.items())
            ]
            reasons += [f"partition {p} blocked: {why}" for p, why in sorted(self.blocked.items())]
            if self.started and not (self.running or self.restoring or self.blocked):
                reasons.append("no partition assigned")
            return reasons


class WorkerObserver:
    """An `Observer` for one worker."""

    def __init__(self, metrics: Metrics, health: Health, clock: Clock, **context: object) -> None:
        self._metrics = metrics
        self._health = health
        self._clock = clock
        self._log = structlog.get_logger().bind(**context)

    def started(self) -> None:
        """The worker joined the group."""
        with self._health.lock:
            self._health.started = True
        self._log.info("worker started")

    def turned(self) -> None:
        """The loop went round once."""
        self._health.turned = self._clock.monotonic()

    def assigned(self, partitions: Sequence[int]) -> None:
        """The group gave us these."""
        with self._health.lock:
            self._health.restoring.update(dict.fromkeys(partitions, 0))
        self._metrics.rebalances.labels("assigned").inc()
        self._gauge()
        self._log.info("partitions assigned", partitions=sorted(partitions))

    def revoked(self, partitions: Sequence[int], *, lost: bool) -> None:
        """The group took these."""
        with self._health.lock:
            for partition in partitions:
                self._forget(partition)
        self._metrics.rebalances.labels("lost" if lost else "revoked").inc()
        self._gauge()
        self._log.info("partitions lost" if lost else "partitions revoked", partitions=sorted(partitions))

    def restoring(self, partition: int, position: int, end_offset: int) -> None:
        """A step of restore was made."""
        with self._health.lock:
            self._forget(partition)
            self._health.restoring[partition] = max(0, end_offset - position)
        self._gauge()
        self._log.info("partition restoring", partition=partition, position=position, end_offset=end_offset)

    def restored(self, partition: int, records: int, seconds: float, input_offset: int) -> None:
        """The partition runs."""
        with self._health.lock:
            self._forget(partition)
            self._health.running.add(partition)
        self._metrics.restored_records.inc(records)
        self._gauge()
        self._log.info(
            "partition running",
            partition=partition,
            restored_records=records,
            seconds=round(seconds, 3),
            input_offset=input_offset,
        )

    def blocked(self, partition: int, why: str, mend: str) -> None:
        """The partition stays paused; said once, until it changes."""
        with self._health.lock:
            self._forget(partition)
            known = self._health.blocked.get(partition) == why
            self._health.blocked[partition] = why
        self._gauge()
        if not known:
            self._log.error("partition blocked", partition=partition, why=why, mend=mend)

    def committed(self, what: Committed) -> None:
        """A transaction committed and is in the store."""
        metrics = self._metrics
        metrics.records.inc(what.records)
        metrics.words.inc(what.words)
        metrics.results.inc(what.results)
        metrics.changelog_records.inc(what.changes)
        metrics.transactions.labels("committed").inc()
        for reason, n in what.rejected.items():
            metrics.dead_letters.labels(reason).inc(n)
        for phase, seconds in what.seconds.items():
            metrics.phases.labels(phase).observe(seconds)
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
        with self._health.lock:
            for partition in list(self._health.running):
                self._forget(partition)
                self._health.restoring[partition] = 0
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
        self._metrics.broker_away.set(1)
        self._log.warning("waiting for Kafka", why=str(why))

    def resumed(self) -> None:
        """They are back."""
        self._health.waiting = ""
        self._metrics.broker_away.set(0)
        self._log.info("Kafka is back")

    def set_aside(self, partition: int, why: str) -> None:
        """A store lies under another name now."""
        self._metrics.stores_set_aside.inc()
        self._log.warning("store set aside", partition=partition, why=why)

    def stopping(self, why: str) -> None:
        """The worker drains."""
        self._health.stopping = why
        self._log.info("worker stopping", why=why)

    def _forget(self, partition: int) -> None:
        self._health.restoring.pop(partition, None)
        self._health.running.discard(partition)
        self._health.blocked.pop(partition, None)

    def _gauge(self) -> None:
        with self._health.lock:
            restoring, blocked = self._health.restoring, self._health.blocked
            self._metrics.assigned.set(len(self._health.running) + len(restoring) + len(blocked))
            self._metrics.blocked.labels("restoring").set(len(restoring))
            self._metrics.blocked.labels("blocked").set(len(blocked))
            self._metrics.restore_remaining.set(sum(restoring.values()))
