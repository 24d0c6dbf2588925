from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest

from stream.core.evidence import COUNTED, CommittedOffset, Evidence
from stream.telemetry.group_lag import GroupLag, Span
from stream.testing.clock import FakeClock


class Record(NamedTuple):
    offset: int


@dataclass
class Cluster:
    """Partition 0 of an input log, the group's committed offset, and a `GroupLag` that is updated by polls.

    Attributes:
        records: offsets of committed records; the other offsets below `end` are markers.
        searched: the spans that were searched for records.
    """

    records: set[int] = field(default_factory=set)
    first: int = 0
    end: int = 0
    committed: CommittedOffset | None = None
    searched: list[Span] = field(default_factory=list)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.lag = GroupLag(self.clock, self.find)

    def find(self, spans: Mapping[int, Span]) -> dict[int, Record]:
        self.searched += spans.values()
        within = {p: [n for n in self.records if start <= n < end] for p, (start, end) in spans.items()}
        return {p: Record(min(offsets)) for p, offsets in within.items() if offsets}

    def append(self, records: int = 0, markers: int = 0) -> None:
        self.records |= set(range(self.end, self.end + records))
        self.end += records + markers

    def poll(self, seconds_later: float = 10) -> tuple[float, float]:
        """Return the lag, and the seconds for which it has not been reduced."""
        self.clock.sleep(seconds_later)
        committed = {} if self.committed is None else {0: self.committed}
        records, seconds = self.lag.update({0: self.first}, {0: self.end}, committed)
        assert records.keys() == seconds.keys() == {("0",)}
        return records["0",], seconds["0",]


def own(offset: int) -> CommittedOffset:
    return CommittedOffset(offset, Evidence(offset, {}, "digest").encode())


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_a_partition_that_nobody_counts_has_lag_and_seconds_that_grow(cluster: Cluster) -> None:
    assert cluster.poll() == (0, 0)
    cluster.append(records=50)
    assert cluster.poll() == (50, 10)
    assert cluster.poll() == (50, 20)
    cluster.append(records=1)
    assert cluster.poll() == (51, 30)


def test_seconds_start_over_whenever_a_worker_commits(cluster: Cluster) -> None:
    cluster.append(records=50)
    cluster.poll()
    cluster.poll()
    cluster.committed = own(20)
    assert cluster.poll() == (30, 0)
    assert cluster.poll() == (30, 10)
    cluster.committed = own(50)
    assert cluster.poll() == (0, 0)


def test_a_commit_by_the_previous_version_is_progress(cluster: Cluster) -> None:
    cluster.append(records=50)
    cluster.poll()
    cluster.committed = CommittedOffset(20, COUNTED)
    assert cluster.poll() == (30, 0)


def test_a_commit_by_another_application_is_not_progress(cluster: Cluster) -> None:
    cluster.append(records=50)
    cluster.committed = own(10)
    cluster.poll()
    for stranger in (CommittedOffset(50), CommittedOffset(50, own(10).metadata)):
        cluster.committed = stranger
        assert cluster.poll()[0] == 40
    assert cluster.poll() == (40, 30)
    cluster.committed = own(50)
    assert cluster.poll() == (0, 0)


def test_a_lag_of_markers_only_is_0_and_is_searched_once(cluster: Cluster) -> None:
    cluster.append(records=5, markers=1)
    cluster.committed = own(5)
    assert [cluster.poll() for _ in range(3)] == [(0, 0)] * 3
    assert cluster.searched == [(5, 6)]
    cluster.append(markers=3)
    assert [cluster.poll() for _ in range(3)] == [(0, 0)] * 3
    assert cluster.searched == [(5, 6), (6, 9)]
    cluster.append(records=1)
    assert cluster.poll() == (5, 10)


def test_records_are_searched_once_for_each_committed_offset_that_does_not_move(cluster: Cluster) -> None:
    cluster.append(records=50)
    for _ in range(5):
        cluster.poll()
        cluster.append(records=1)
    assert cluster.searched == [(0, 50)]
    for offset in range(10, 15):
        cluster.committed = own(offset)
        cluster.poll()
    assert cluster.searched == [(0, 50)], "no search while the offset moves"


def test_deleted_input_is_neither_lag_nor_progress(cluster: Cluster) -> None:
    cluster.append(records=50)
    assert cluster.poll() == (50, 0)
    cluster.first = 20
    assert cluster.poll() == (30, 10)
    cluster.append(markers=1)
    cluster.first, cluster.records = 50, set()
    assert cluster.poll() == (0, 0), "only a marker is left"
