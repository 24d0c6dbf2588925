"""What a benchmark and the process that it measures say to each other: JSON, a line each."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field

from stream.exercise.stages import StageStats

BASELINE, PIPELINE = "baseline", "pipeline"  # the two that need no file
NO_FAULTS = "none"


@dataclass(frozen=True, slots=True)
class Conditions:
    """What all contestants meet alike.

    Attributes:
        faults: as `--faults` takes it.
        seed: run k of a case has this plus k.
    """

    iterations: int = 3
    faults: str = NO_FAULTS
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """Who is to be measured: `baseline`, `pipeline` or a file."""

    contestant: str
    faults: str = NO_FAULTS
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    """A case to run."""

    text: str
    iterations: int
    seed: int


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Ready(_Said):
    """The orchestrator is made."""

    kind: Literal["ready"] = "ready"


class NotLoaded(_Said):
    """There is none."""

    kind: Literal["not-loaded"] = "not-loaded"
    why: str


class Began(_Said):
    """A run begins."""

    kind: Literal["began"] = "began"


class Ran(_Said):
    """A run came to its end.

    Attributes:
        counts: what was counted; None where nothing was.
        why: what failed, then.
        runtime_ms: by our clock, not by what the orchestrator says of itself.
    """

    kind: Literal["ran"] = "ran"
    counts: dict[str, int] | None = None
    why: str = ""
    runtime_ms: float
    cpu_s: float
    peak_mib: float


class StageFigures(_Said):
    """What became of the calls of one stage."""

    attempts: int = 0
    successes: int = 0
    failures: int = 0
    seconds: float = 0.0

    def plus(self, other: "StageStats | StageFigures") -> "StageFigures":
        """Return both together."""
        return StageFigures(
            attempts=self.attempts + other.attempts,
            successes=self.successes + other.successes,
            failures=self.failures + other.failures,
            seconds=self.seconds + other.seconds,
        )


class CaseDone(_Said):
    """All runs of a case came to their ends."""

    kind: Literal["case-done"] = "case-done"
    growth_mib: float
    stages: Mapping[str, StageFigures] = Field(default_factory=dict)


Said = Ready | NotLoaded | Began | Ran | CaseDone
_KINDS: dict[str, type[Said]] = {
    "ready": Ready, "not-loaded": NotLoaded, "began": Began, "ran": Ran, "case-done": CaseDone,
}  # fmt: skip

T = TypeVar("T", Job, Order)


def order_line(order: Job | Order) -> bytes:
    """Return a line for the measured process."""
    return orjson.dumps(asdict(order)) + b"\n"


def read_order(line: bytes, kind: type[T]) -> T:
    """Read such a line."""
    return kind(**orjson.loads(line))


def said_line(said: Said) -> bytes:
    """Return a line of the measured process."""
    return said.model_dump_json().encode() + b"\n"


def read_said(line: bytes) -> Said:
    """Read such a line, which foreign code may have written.

    Raises:
        ValueError: it is not one of ours.
    """
    found: Any = orjson.loads(line)
    kind = found.get("kind") if isinstance(found, dict) else None
    model = _KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise ValueError("not a message")
    return model.model_validate(found)
