"""Polls the cluster, in its own thread, for what the loop does not see: last stable and end offsets."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog

from stream.core.evidence import CommittedOffset
from stream.errors import StreamError
from stream.ports import Clock
from stream.telemetry.group_lag import AtOffset, GroupLag
from stream.telemetry.lag import Lag
from stream.telemetry.metrics import Metrics

POLL_INTERVAL_S = 10.0


class ClusterOffsets(Protocol):
    """Offsets of the topics (topic -> partition -> offset), and of input partitions: first and committed."""

    @property
    def last_stable_offsets(self) -> Mapping[str, Mapping[int, int]]: ...
    @property
    def end_offsets(self) -> Mapping[str, Mapping[int, int]]: ...
    @property
    def first_offsets(self) -> Mapping[int, int]: ...
    @property
    def committed(self) -> Mapping[int, CommittedOffset]: ...


class Poller(Protocol):
    """Sends requests to the cluster; both methods raise StreamError."""

    def poll(self, partitions: Sequence[int] | None) -> ClusterOffsets:
        """Return all offsets; first and committed ones only of these input partitions, of all if None."""

    def first_records(self, spans: Mapping[int, tuple[int, int]]) -> Mapping[int, AtOffset]:
        """Return the first record in each span of offsets of the input that has one."""


class ClusterMonitor:
    """Updates the metrics of last stable offsets, of the group, and the lag of partitions that do not run."""

    def __init__(  # noqa: PLR0913 - what it polls with, and what it updates
        self,
        poller: Poller,
        input_topic: str,
        metrics: Metrics,
        lag: Lag,
        clock: Clock,
        *,
        polls_group: Callable[[], bool] = lambda: True,
        poll_interval_s: float = POLL_INTERVAL_S,
    ) -> None:
        """`polls_group` returns whether this worker exports the group's lag; one per supervisor does."""
        self._poller = poller
        self._group_lag = GroupLag(clock, poller.first_records)
        self._polls_group = polls_group
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

    def update(self, offsets: ClusterOffsets, *, of_group: bool) -> None:
        """Update metrics and lag, and with `of_group` the lag of the whole group."""
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
        input_ends = offsets.last_stable_offsets[self._input_topic]
        for partition, first in offsets.first_offsets.items():
            if (last_stable_offset := input_ends.get(partition)) is not None:
                committed = offsets.committed.get(partition)
                position = first if committed is None else committed.offset
                self._lag.update_from_cluster(partition, last_stable_offset, position)
        if of_group:
            records, seconds = self._group_lag.update(offsets.first_offsets, input_ends, offsets.committed)
            self._metrics.group_lag_records.rows, self._metrics.group_lag_stalled.rows = records, seconds

    def _run(self) -> None:
        log = structlog.get_logger()
        while not self._closed.wait(self._poll_interval_s):
            try:
                of_group = self._polls_group()
                offsets = self._poller.poll(None if of_group else self._lag.not_running())
                self.update(offsets, of_group=of_group)
            except StreamError as why:  # the worker itself reports its problems
                log.debug("cluster offsets not polled", why=str(why))
