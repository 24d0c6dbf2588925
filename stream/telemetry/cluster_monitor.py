"""Looks now and then, in a thread of its own, at what the loop does not see: where logs end."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog

from stream.errors import StreamError
from stream.ports import Clock
from stream.telemetry.lag import Lag
from stream.telemetry.metrics import Metrics

LOOK_S = 10.0


class Ends(Protocol):
    """Where logs end: topic -> partition -> offset; `undone`: partition of the input -> where we go on."""

    @property
    def stable(self) -> Mapping[str, Mapping[int, int]]: ...
    @property
    def end(self) -> Mapping[str, Mapping[int, int]]: ...
    @property
    def undone(self) -> Mapping[int, int]: ...


Look = Callable[[Sequence[int]], Ends]
"""Ask the cluster; the partitions are those of which `undone` is wanted. Raises StreamError."""


class ClusterMonitor:
    """Sets the metrics of last stable offsets, and the lag of partitions that do not run."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it looks with, and what it tells
        self, look: Look, input_topic: str, metrics: Metrics, lag: Lag, clock: Clock, look_s: float = LOOK_S
    ) -> None:
        self._look = look
        self._input_topic = input_topic
        self._metrics = metrics
        self._lag = lag
        self._clock = clock
        self._look_s = look_s
        self._still_s: dict[tuple[str, int], tuple[int, float]] = {}  # offset, and since when it stands there
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="surroundings", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    def take(self, ends: Ends) -> None:
        """Tell of what was seen."""
        now = self._clock.monotonic()
        unstable: dict[tuple[str, ...], float] = {}
        stalled: dict[tuple[str, ...], float] = {}
        for topic, of in ends.stable.items():
            behind, longest_s = 0, 0.0
            for partition, offset in of.items():
                behind += max(0, ends.end[topic][partition] - offset)
                known, since_s = self._still_s.get((topic, partition), (-1, now))
                if known != offset or offset >= ends.end[topic][partition]:
                    since_s = now
                self._still_s[topic, partition] = offset, since_s
                longest_s = max(longest_s, now - since_s)
            unstable[topic,], stalled[topic,] = behind, longest_s
        self._metrics.unstable.rows, self._metrics.stalled.rows = unstable, stalled
        for partition, position in ends.undone.items():
            if (stable := ends.stable[self._input_topic].get(partition)) is not None:
                self._lag.looked(partition, stable, position)

    def _run(self) -> None:
        log = structlog.get_logger()
        while not self._closed.wait(self._look_s):
            try:
                self.take(self._look(self._lag.not_running()))
            except StreamError as why:  # what keeps the worker from working, the worker says
                log.debug("the cluster could not be looked at", why=str(why))
