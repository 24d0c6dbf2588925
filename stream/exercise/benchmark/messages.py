"""The orders to the process of a measured orchestrator, and its reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from stream.exercise.stages import StageStats
from stream.json_lines import Message

BASELINE, PIPELINE = "baseline", "pipeline"  # the orchestrators that need no file
NO_FAULTS = "none"


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions that are the same for all orchestrators.

    Attributes:
        faults: value of `--faults`.
        seed: run number k of a case has the seed `seed + k`.
    """

    iterations: int = 3
    faults: str = NO_FAULTS
    seed: int = 0


class OrchestratorOrder(Message):
    """The first order: construct an orchestrator, `baseline`, `pipeline` or the one in a file."""

    orchestrator: str
    faults: str = NO_FAULTS
    seed: int = 0


class CaseOrder(Message):
    """Run a case."""

    text: str
    iterations: int
    seed: int


class Ready(Message):
    """The orchestrator was constructed."""

    kind: Literal["ready"] = "ready"


class NotLoaded(Message):
    """The orchestrator could not be constructed."""

    kind: Literal["not-loaded"] = "not-loaded"
    why: str


class RunStarted(Message):
    kind: Literal["run-started"] = "run-started"


class RunEnded(Message):
    """The result of a run.

    Attributes:
        counts: counts returned by the orchestrator; None if the run failed.
        why: why the run failed; empty if it did not.
        runtime_ms: measured by the benchmark, not the runtime that the orchestrator returned.
        cpu_s: processor time of the process and of all processes below it.
        peak_mib: peak memory of the run.
    """

    kind: Literal["run-ended"] = "run-ended"
    counts: dict[str, int] | None = None
    why: str = ""
    runtime_ms: float
    cpu_s: float
    peak_mib: float


class StageFigures(Message):
    """Calls of one stage."""

    attempts: int = 0
    successes: int = 0
    failures: int = 0
    seconds: float = 0.0

    def plus(self, other: "StageStats | StageFigures") -> "StageFigures":
        return StageFigures(
            attempts=self.attempts + other.attempts,
            successes=self.successes + other.successes,
            failures=self.failures + other.failures,
            seconds=self.seconds + other.seconds,
        )


class CaseEnded(Message):
    """The end of all runs of a case."""

    kind: Literal["case-ended"] = "case-ended"
    growth_mib: float
    stages: Mapping[str, StageFigures] = Field(default_factory=dict)


Report = Ready | NotLoaded | RunStarted | RunEnded | CaseEnded
