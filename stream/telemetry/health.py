"""The state behind the probes; written by the loop, read by the HTTP server's threads."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

NO_PARTITION = (
    "no partition assigned: the group is rebalancing, or other members own all partitions; to list them, "
    "run `anagram-stream lag`. This worker is a standby, unless a member is not a worker: stop such members"
)
RUN_ONCE_S_MAX = 60.0  # by default; one pass of the loop takes at most a batch and its transaction's timeout


@dataclass(slots=True)
class RestoreProgress:
    """How far the restore of a partition is; before its first step, offsets are 0. Times are monotonic."""

    began_s: float
    start_offset: int = 0
    position: int = 0
    end_offset: int = 0
    moved_s: float = 0.0

    @property
    def remaining(self) -> int:
        """Offsets still to restore."""
        return max(0, self.end_offset - self.position)

    @property
    def eta_s(self) -> float | None:
        """Seconds until the restore ends, at the rate so far; None if unknown."""
        took_s, restored = self.moved_s - self.began_s, self.position - self.start_offset
        return round(self.remaining * took_s / restored, 1) if restored > 0 and took_s > 0 else None


@dataclass(slots=True)
class Health:
    """The state of the worker as its probes report it.

    Attributes:
        stopping: why it stops, or "".
        waiting: what it waits for, or "".
        connected: to a broker; an idle worker does not notice a lost connection otherwise.
        last_run_at: when the loop last completed a pass, monotonic; 0 before the first pass.
        blocked: partition -> why it is blocked.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    started: bool = False
    stopping: str = ""
    waiting: str = ""
    connected: bool = True
    last_run_at: float = 0.0
    restoring: dict[int, RestoreProgress] = field(default_factory=dict)
    running: set[int] = field(default_factory=set)
    blocked: dict[int, str] = field(default_factory=dict)

    @property
    def has_partitions(self) -> bool:
        """Whether any partition is assigned."""
        return bool(self.running or self.restoring or self.blocked)

    def assigned(self, partitions: Sequence[int], now: float) -> None:
        """These partitions restore from now on."""
        with self.lock:
            for partition in partitions:
                self._forget(partition)
                self.restoring[partition] = RestoreProgress(now)

    def revoked(self, partitions: Sequence[int]) -> None:
        with self.lock:
            for partition in partitions:
                self._forget(partition)

    def restore_moved(self, partition: int, position: int, end_offset: int, now: float) -> None:
        """The restore of a partition made a step."""
        with self.lock:
            self.running.discard(partition)
            self.blocked.pop(partition, None)
            progress = self.restoring.get(partition)
            if progress is None or not progress.end_offset:  # the size of the first step is unknown
                progress = RestoreProgress(now, position, position, end_offset, now)
                self.restoring[partition] = progress
            progress.position, progress.end_offset, progress.moved_s = position, end_offset, now

    def restored(self, partition: int) -> None:
        """The partition runs."""
        with self.lock:
            self._forget(partition)
            self.running.add(partition)

    def block(self, partition: int, why: str) -> bool:
        """Record why a partition stays paused; return whether the reason is new."""
        with self.lock:
            is_news = self.blocked.get(partition) != why
            self._forget(partition)
            self.blocked[partition] = why
            return is_news

    def in_doubt(self, now: float) -> None:
        """All running partitions restore again."""
        with self.lock:
            for partition in list(self.running):
                self._forget(partition)
                self.restoring[partition] = RestoreProgress(now)

    def reasons_not_ready(self) -> list[str]:
        """Return why the worker is not ready; an empty list if it is."""
        with self.lock:
            reasons = [] if self.started else ["not joined yet"]
            reasons += [f"stopping: {self.stopping}"] if self.stopping else []
            reasons += [f"waiting: {self.waiting}"] if self.waiting else []
            reasons += [] if self.connected else ["no broker is connected"]
            reasons += [
                f"partition {partition} restoring, {_remaining(progress.remaining)}"
                for partition, progress in sorted(self.restoring.items())
            ]
            reasons += [
                f"partition {partition} blocked: {why}" for partition, why in sorted(self.blocked.items())
            ]
            if self.started and not self.has_partitions:
                reasons.append(NO_PARTITION)
            return reasons

    def restores(self) -> list[dict[str, object]]:
        """Return the restores in progress, as `/healthz/started` shows them."""
        with self.lock:
            return [
                {
                    "partition": partition,
                    "remaining_offsets": progress.remaining,
                    "eta_seconds": progress.eta_s,
                }
                for partition, progress in sorted(self.restoring.items())
            ]

    def _forget(self, partition: int) -> None:
        self.restoring.pop(partition, None)
        self.running.discard(partition)
        self.blocked.pop(partition, None)


def _remaining(offsets: int) -> str:
    return "1 offset remains" if offsets == 1 else f"{offsets} offsets remain"
