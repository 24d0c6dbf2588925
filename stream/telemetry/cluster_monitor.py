"""Polls the cluster, in a thread of its own, for what the loop does not see: last stable and end offsets."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog

from stream.errors import StreamError
from stream.ports import Clock
from stream.telemetry.lag import Lag
from stream.telemetry.metrics import Metrics

POLL_INTERVAL_S = 10.0


class ClusterOffsets(Protocol):
    """Offsets of the topics: topic -> partition -> offset; and of the group: input partition -> position."""

    @property
    def last_stable_offsets(self) -> Mapping[str, Mapping[int, int]]: ...
    @property
    def end_offsets(self) -> Mapping[str, Mapping[int, int]]: ...
    @property
    def group_positions(self) -> Mapping[int, int]: ...


PollOffsets = Callable[[Sequence[int]], ClusterOffsets]
"""Poll the cluster; the arguments are the partitions for `group_positions`. Raises StreamError."""


class ClusterMonitor:
    """Updates the metrics of last stable offsets, and the lag of partitions that do not run."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it polls with, and what it updates
        self,
        poll: PollOffsets,
        input_topic: str,
        metrics: Metrics,
        lag: Lag,
        clock: Clock,
        poll_interval_s: float = POLL_INTERVAL_S,
    ) -> None:
        self._poll = poll
        self._input_topic = input_topic
        self._metrics = metrics
        self._lag = lag
        self._clock = clock
        self._poll_interval_s = poll_interval_s
        self._stalled: dict[tuple[str, int], tuple[int, float]] = {}  # last stable offset, and since when
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cluster-monitor", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop polling."""
        self._closed.set()

    def update(self, offsets: ClusterOffsets) -> None:
        """Update metrics and lag."""
        now = self._clock.monotonic()
        lags: dict[tuple[str, ...], float] = {}
        stalled: dict[tuple[str, ...], float] = {}
        for topic, last_stable_offsets in offsets.last_stable_offsets.items():
            lag_records, longest_s = 0, 0.0
            for partition, offset in last_stable_offsets.items():
                end_offset = offsets.end_offsets[topic][partition]
                lag_records += max(0, end_offset - offset)
                last_offset, since_s = self._stalled.get((topic, partition), (-1, now))
                if last_offset != offset or offset >= end_offset:
                    since_s = now
                self._stalled[topic, partition] = offset, since_s
                longest_s = max(longest_s, now - since_s)
            lags[topic,], stalled[topic,] = lag_records, longest_s
        self._metrics.last_stable_lag.rows, self._metrics.last_stable_stalled.rows = lags, stalled
        for partition, position in offsets.group_positions.items():
            last_stable_offset = offsets.last_stable_offsets[self._input_topic].get(partition)
            if last_stable_offset is not None:
                self._lag.update_from_cluster(partition, last_stable_offset, position)

    def _run(self) -> None:
        log = structlog.get_logger()
        while not self._closed.wait(self._poll_interval_s):
            try:
                self.update(self._poll(self._lag.not_running()))
            except StreamError as why:  # the worker itself reports what keeps it from working
                log.debug("cluster offsets not polled", why=str(why))
