"""What was measured: of the workers, nothing of the broker."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from stream.tools.load_test.check import Checked

GENERATOR_LATE_MS_MAX = 10.0  # at p99: beyond it the generator is part of what was measured
TAKEN_MS_MAX = 100.0  # at p99: beyond it the broker is most of the latency
DRAIN_S_MAX = 2.0  # after the last blob was due: beyond it the load was more than was taken


@dataclass(frozen=True, slots=True)
class Latency:
    """What a histogram says, in milliseconds.

    Attributes:
        encoded: the histogram itself, in HdrHistogram's compressed form V2, of microseconds.
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
    """A preloaded backlog, worked off.

    Attributes:
        dictionary_words: of the dictionary; partitions: of the input.
        processes: that worked.
        words: of all blobs, as they are counted.
        first_s: from the start of the process to the first commit; whole_s: the same, to the last.
        steady_words_per_s: from the first commit since partitions no longer moved to the last;
            None where that was too short.
        cpu_s: of all worker processes, their start included; steady_cpu_s_per_million_words: of what came
            after the first commit.
        peak_mib: memory of all worker processes together.
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
    checked: Checked

    @property
    def whole_words_per_s(self) -> float:
        """From the start of the process."""
        return self.words / self.whole_s

    @property
    def words_per_s(self) -> float:
        """The steady rate where there is one."""
        return self.steady_words_per_s or self.whole_words_per_s

    @property
    def whole_cpu_s_per_million_words(self) -> float:
        """Of all worker processes, their start included."""
        return self.cpu_s / self.words * 1e6

    @property
    def cpu_s_per_million_words(self) -> float:
        """The steady figure where there is one."""
        return self.steady_cpu_s_per_million_words or self.whole_cpu_s_per_million_words


@dataclass(frozen=True, slots=True)
class Load:
    """An open loop at one rate: latency from when a blob was due to when its result could be read.

    Attributes:
        rate: blobs a second that were due; words_per_s: the same in words.
        achieved_rate: that were handed to the broker.
        late_p99_ms: how long after they were due they were; late_max_ms: the same, the worst.
        taken_p99_ms: how long the broker needed to acknowledge them, at p99.
        drain_s: from when the last blob was due to when the last result was read.
        cpu_cores: of all worker processes, meanwhile; None: not ours.
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
        """Whether the load was more than was taken."""
        return self.drain_s > DRAIN_S_MAX or self.missing > 0

    @property
    def generator_is_late(self) -> bool:
        """Whether the generator could not hold the rate."""
        return self.late_p99_ms > GENERATOR_LATE_MS_MAX


@dataclass(frozen=True, slots=True)
class RecoveryTimes:
    """When results came again after a kill -9.

    Attributes:
        first_new_s: from the kill to the first result that was not there before it; all_partitions_s: to
            that of the last partition.
        caught_up_s: from the kill to the last result that was late because of it.
        worst_ms: the longest latency of a blob.
    """

    first_new_s: float
    all_partitions_s: float
    caught_up_s: float
    worst_ms: float


@dataclass(frozen=True, slots=True)
class Recovery:
    """Kill -9 of all worker processes under load, and a start at once."""

    rate: float
    protocol: str
    static: bool
    times: RecoveryTimes
    checked: Checked


@dataclass(slots=True)
class Report:
    """All of it."""

    conditions: dict[str, Any]
    throughput: list[Throughput] = field(default_factory=list)
    latency: list[Load] = field(default_factory=list)
    latency_checked: Checked | None = None
    recovery: list[Recovery] = field(default_factory=list)
    scale: dict[str, list[Throughput]] = field(default_factory=dict)

    @property
    def checks(self) -> list[Checked]:
        """Whether the output was right, of each measurement."""
        rows: Sequence[Throughput | Recovery] = [
            *self.throughput,
            *self.recovery,
            *(row for rows in self.scale.values() for row in rows),
        ]
        own = {id(row.checked): row.checked for row in rows}  # one may stand in several tables
        return [*own.values(), *([] if self.latency_checked is None else [self.latency_checked])]

    @property
    def holds(self) -> bool:
        """Whether all output was right."""
        return all(checked.holds for checked in self.checks)

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "holds": self.holds,
            "conditions": self.conditions,
            "throughput": [_throughput(row) for row in self.throughput],
            "latency": [_load(row) for row in self.latency],
            "latency_checked": None if self.latency_checked is None else _checked(self.latency_checked),
            "recovery": [_recovery(row) for row in self.recovery],
            "scale": {axis: [_throughput(row) for row in rows] for axis, rows in self.scale.items()},
        }


def _checked(checked: Checked) -> dict[str, Any]:
    figures = asdict(checked)
    del figures["words"]  # of a part, for a rate
    return {"holds": checked.holds, **figures}


def _throughput(row: Throughput) -> dict[str, Any]:
    return {
        **asdict(row),
        "whole_words_per_s": row.whole_words_per_s,
        "whole_cpu_s_per_million_words": row.whole_cpu_s_per_million_words,
        "checked": _checked(row.checked),
    }


def _load(row: Load) -> dict[str, Any]:
    return {
        **asdict(row),
        "is_saturated": row.is_saturated,
        "generator_is_late": row.generator_is_late,
    }


def _recovery(row: Recovery) -> dict[str, Any]:
    figures = asdict(row)
    times = figures.pop("times")
    return {**figures, **times, "checked": _checked(row.checked)}
