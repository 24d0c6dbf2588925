import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from stream.core.evidence import CommittedOffset
from stream.errors import Retriable
from stream.telemetry.cluster_monitor import ClusterMonitor
from stream.telemetry.group_lag import AtOffset, Span
from stream.telemetry.lag import Lag
from stream.telemetry.metrics import Metrics
from stream.testing.clock import FakeClock


@dataclass
class Offsets:
    last_stable_offsets: dict[str, dict[int, int]]
    end_offsets: dict[str, dict[int, int]]
    first_offsets: dict[int, int]
    committed: dict[int, CommittedOffset] = field(default_factory=dict)


class Poller:
    """An input of two partitions with 5 and 7 records; the first poll fails."""

    def __init__(self) -> None:
        self.asked: list[Sequence[int] | None] = []
        self.polled_twice = threading.Event()

    def poll(self, partitions: Sequence[int] | None) -> Offsets:
        self.asked.append(partitions)
        if len(self.asked) == 1:
            raise Retriable("the broker is unavailable")
        if len(self.asked) > 2:
            self.polled_twice.set()
        ends = {"input": {0: 5, 1: 7}}
        return Offsets(ends, ends, dict.fromkeys((0, 1) if partitions is None else partitions, 0))

    def first_records(self, spans: Mapping[int, Span]) -> Mapping[int, AtOffset]:
        return {partition: Found(start) for partition, (start, _) in spans.items()}


@dataclass(frozen=True)
class Found:
    offset: int


@contextmanager
def monitored(*, polls_group: bool) -> Iterator[tuple[Poller, Metrics, Lag]]:
    """Yield after the second poll of a monitor; its worker owns partition 0, which does not run."""
    clock, poller, metrics = FakeClock(), Poller(), Metrics()
    lag = Lag(clock)
    lag.assigned([0])
    monitor = ClusterMonitor(
        poller, "input", metrics, lag, clock, polls_group=lambda: polls_group, poll_interval_s=0.01
    )
    with closing(monitor):
        assert poller.polled_twice.wait(10)
        yield poller, metrics, lag


def test_one_worker_exports_the_lag_of_every_partition() -> None:
    with monitored(polls_group=True) as (poller, metrics, lag):
        assert set(poller.asked) == {None}
        assert metrics.group_lag_records.rows == {("0",): 5, ("1",): 7}
        assert metrics.group_lag_stalled.rows.keys() == {("0",), ("1",)}
        assert lag.records() == {("0",): 5}


def test_the_other_workers_poll_only_their_own_partitions_that_do_not_run() -> None:
    with monitored(polls_group=False) as (poller, metrics, lag):
        assert all(asked == [0] for asked in poller.asked)
        assert metrics.group_lag_records.rows == {}
        assert lag.records() == {("0",): 5}
