"""What the probes answer with; written by the loop, read by the HTTP server's threads."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

LIVE_S_MAX = 60.0  # a turn of the loop takes at most a batch's deadline and a transaction's timeout


@dataclass(slots=True)
class Restoring:
    """A partition's restore: where it began and is, and when. Nothing is known before the first step."""

    began_s: float
    first: int = 0
    position: int = 0
    end: int = 0
    moved_s: float = 0.0

    @property
    def remaining(self) -> int:
        """Offsets still to restore."""
        return max(0, self.end - self.position)

    @property
    def eta_s(self) -> float | None:
        """Seconds until it is done, at the pace so far; None: not known yet."""
        took_s, done = self.moved_s - self.began_s, self.position - self.first
        return round(self.remaining * took_s / done, 1) if done > 0 and took_s > 0 else None


@dataclass(slots=True)
class Health:
    """The worker's state, in the words of its probes."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    started: bool = False
    stopping: str = ""
    waiting: str = ""
    connected: bool = True  # to a broker; an idle worker would not notice else
    turned: float = 0.0
    restoring: dict[int, Restoring] = field(default_factory=dict)
    running: set[int] = field(default_factory=set)
    blocked: dict[int, str] = field(default_factory=dict)

    def assigned(self, partitions: Sequence[int], now: float) -> None:
        """These are ours, and not restored yet."""
        with self.lock:
            for partition in partitions:
                self._forget(partition)
                self.restoring[partition] = Restoring(now)

    def revoked(self, partitions: Sequence[int]) -> None:
        """These are not ours."""
        with self.lock:
            for partition in partitions:
                self._forget(partition)

    def moved(self, partition: int, position: int, end: int, now: float) -> None:
        """A step of restore was made."""
        with self.lock:
            self.running.discard(partition)
            self.blocked.pop(partition, None)
            known = self.restoring.get(partition)
            if known is None or not known.end:  # from here on, for the first step's size is not known
                known = self.restoring[partition] = Restoring(now, position, position, end, now)
            known.position, known.end, known.moved_s = position, end, now

    def runs(self, partition: int) -> None:
        """It is restored."""
        with self.lock:
            self._forget(partition)
            self.running.add(partition)

    def is_blocked(self, partition: int, why: str) -> bool:
        """Note why a partition stays paused; return whether that was known."""
        with self.lock:
            known = self.blocked.get(partition) == why
            self._forget(partition)
            self.blocked[partition] = why
            return known

    def in_doubt(self, now: float) -> None:
        """What ran restores again."""
        with self.lock:
            for partition in list(self.running):
                self._forget(partition)
                self.restoring[partition] = Restoring(now)

    def reasons_not_ready(self) -> list[str]:
        """Return why the worker is not ready; nothing when it is."""
        with self.lock:
            reasons = [] if self.started else ["not joined yet"]
            reasons += [f"stopping: {self.stopping}"] if self.stopping else []
            reasons += [f"waiting: {self.waiting}"] if self.waiting else []
            reasons += [] if self.connected else ["no broker is connected"]
            reasons += [
                f"partition {p} restoring, {at.remaining} offsets remain"
                for p, at in sorted(self.restoring.items())
            ]
            reasons += [f"partition {p} blocked: {why}" for p, why in sorted(self.blocked.items())]
            if self.started and not (self.running or self.restoring or self.blocked):
                reasons.append("no partition assigned")
            return reasons

    def restores(self) -> list[dict[str, object]]:
        """Return what restores, how much of it remains, and for how long if that is known."""
        with self.lock:
            return [
                {"partition": p, "remaining_offsets": at.remaining, "eta_seconds": at.eta_s}
                for p, at in sorted(self.restoring.items())
            ]

    def _forget(self, partition: int) -> None:
        self.restoring.pop(partition, None)
        self.running.discard(partition)
        self.blocked.pop(partition, None)
