"""The figures of a load test; they cover the workers, not the broker."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from stream.tools.load_test.output_check import OutputCheck

GENERATOR_LATE_MS_MAX = 10.0  # p99; beyond it, the generator distorts the latency
TAKEN_MS_MAX = 100.0  # p99; beyond it, acknowledgements of the broker dominate the latency
IDLE_RATE = 1.0  # blobs/s; each transaction ends before the next blob arrives
DRAIN_S_MAX = 2.0  # after the last due time; beyond it, the load exceeded the capacity


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles of latencies, in milliseconds.

    Attributes:
        encoded: the histogram in microseconds, in the compressed format V2 of HdrHistogram.
    """

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p99_9_ms: float
    max_ms: float
    encoded: str


@dataclass(frozen=True, slots=True)
class Throughput:
    """Processing of a backlog that was produced before the workers started.

    Attributes:
        partitions: partitions of the input topic.
        dictionary_words: number of words in the dictionary.
        processes: number of group members.
        words: words of all blobs, as the workers count them.
        first_s: from the start of the workers to the first commit.
        whole_s: from the start of the workers to the last commit.
        steady_words_per_s: from the first commit after the last rebalance to the last commit; None if that
            was too short.
        cpu_s: processor time of all worker processes, including their start.
        steady_cpu_s_per_million_words: processor time of the steady part; None if that was too short.
        peak_mib: maximum memory of all worker processes together.
    """

    words_per_blob: int
    partitions: int
    dictionary_words: int
    processes: int
    blobs: int
    words: int
    first_s: float
    whole_s: float
    steady_words_per_s: float | None
    cpu_s: float
    steady_cpu_s_per_million_words: float | None
    peak_mib: float
    checked: OutputCheck

    @property
    def whole_words_per_s(self) -> float:
        return self.words / self.whole_s

    @property
    def words_per_s(self) -> float:
        """The steady rate if there is one."""
        return self.steady_words_per_s or self.whole_words_per_s

    @property
    def whole_cpu_s_per_million_words(self) -> float:
        return self.cpu_s / self.words * 1e6

    @property
    def cpu_s_per_million_words(self) -> float:
        """The steady figure if there is one."""
        return self.steady_cpu_s_per_million_words or self.whole_cpu_s_per_million_words


@dataclass(frozen=True, slots=True)
class LatencyAtRate:
    """An open loop at one rate; latency is the time from when a blob is due until its result can be read.

    Attributes:
        rate: scheduled blobs/s.
        achieved_rate: produced blobs/s.
        words_per_s: scheduled words/s.
        missing: blobs without a result.
        late_p99_ms: delay of the production of blobs after their due times, 99th percentile.
        late_max_ms: the same, maximum.
        taken_p99_ms: time until the broker acknowledged a blob, 99th percentile.
        drain_s: from the due time of the last blob until the last result was read.
        cpu_cores: processor time of all worker processes per second; None if they were already running.
        peak_mib: maximum memory of all worker processes together; None if they were already running.
    """

    rate: float
    achieved_rate: float
    words_per_blob: int
    words_per_s: float
    blobs: int
    missing: int
    latency: Latency | None
    late_p99_ms: float
    late_max_ms: float
    taken_p99_ms: float
    drain_s: float
    cpu_cores: float | None
    peak_mib: float | None

    @property
    def is_saturated(self) -> bool:
        """Whether the load exceeded the capacity of the workers."""
        return self.drain_s > DRAIN_S_MAX or self.missing > 0

    @property
    def generator_is_late(self) -> bool:
        """Whether the generator did not achieve the rate."""
        return self.late_p99_ms > GENERATOR_LATE_MS_MAX


@dataclass(frozen=True, slots=True)
class LatencyAtDelay:
    """An open loop; at `IDLE_RATE`, each blob meets idle workers.

    Attributes:
        delay_ms: delay of all data that the workers receive from the broker.
    """

    delay_ms: float
    at_rate: LatencyAtRate


@dataclass(frozen=True, slots=True)
class RecoveryTimes:
    """The recovery from a kill -9.

    Attributes:
        first_new_s: from the kill to the first result that was written after it.
        all_partitions_s: from the kill until every partition has such a result.
        caught_up_s: from the kill to the last result that was late because of it.
        worst_ms: the longest latency of a blob.
    """

    first_new_s: float
    all_partitions_s: float
    caught_up_s: float
    worst_ms: float


@dataclass(frozen=True, slots=True)
class Recovery:
    """A kill -9 of all worker processes under load, followed by an immediate restart.

    Attributes:
        session_s: session timeout of a dynamic member, in seconds; None if unknown.
    """

    rate: float
    protocol: str
    static: bool
    session_s: float | None
    times: RecoveryTimes
    checked: OutputCheck


@dataclass(slots=True)
class Report:
    """All figures of a load test, with the conditions under which they were measured."""

    conditions: dict[str, Any]
    throughput: list[Throughput] = field(default_factory=list)
    latency: list[LatencyAtRate] = field(default_factory=list)
    latency_checked: OutputCheck | None = None
    delays: list[LatencyAtDelay] = field(default_factory=list)
    delays_checked: OutputCheck | None = None
    recovery: list[Recovery] = field(default_factory=list)
    scale: dict[str, list[Throughput]] = field(default_factory=dict)

    @property
    def checks(self) -> list[OutputCheck]:
        """The output checks of all measurements."""
        rows: Sequence[Throughput | Recovery] = [
            *self.throughput,
            *self.recovery,
            *(row for rows in self.scale.values() for row in rows),
        ]
        distinct = {id(row.checked): row.checked for row in rows}  # one row may be in several tables
        of_loops = [self.latency_checked, self.delays_checked]
        return [*distinct.values(), *(checked for checked in of_loops if checked is not None)]

    @property
    def holds(self) -> bool:
        """Whether all output is correct."""
        return all(checked.holds for checked in self.checks)
