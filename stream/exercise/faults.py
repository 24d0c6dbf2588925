"""Injected failures and delays by stage. This module only draws them; its callers wait and raise.

A fault depends only on the seed, the stage, the key of the call and the number of earlier calls with this
key: the same seed gives the same faults, in whatever order concurrent calls run.
"""

import codecs
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stream.errors import Misconfigured, Reason, Rejected, StageFailed, StageValueError, StreamError

DELAY_S_MAX = 10.0
ATTEMPTS_KEPT_MAX = 100_000  # stages and keys whose calls are counted; beyond it, counting starts over
DELAY = "delay"  # the kind for counting delays


class Stage(StrEnum):
    """A step of the pipeline in which faults can be injected."""

    FILTER_INPUT = "filter_input"
    GET_WORDS = "get_words"
    FIND_ANAGRAMS = "find_anagrams"
    PERMUTATIONS = "permutations"


class Failure(StrEnum):
    """The error that a failing stage raises."""

    PASSING = "passing"  # StageFailed: retried
    VALUE_ERROR = "value-error"  # the same, and also a ValueError
    REJECTED = "rejected"  # Rejected: not retried


class StageFault(BaseModel):
    """The faults of one stage: each call takes `delay_s` longer, and the fraction `rate` of calls fails."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    rate: Annotated[float, Field(ge=0, le=1)] = 0.0
    delay_s: Annotated[float, Field(ge=0, le=DELAY_S_MAX)] = 0.0
    error: Failure = Failure.PASSING


class FaultPlan(BaseModel):
    """The faults of all stages. Delays are multiplied by `scale`."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    stages: Mapping[Stage, StageFault] = Field(default_factory=dict)
    seed: Annotated[int, Field(ge=0)] = 0
    scale: Annotated[float, Field(ge=0, le=1)] = 1.0

    @property
    def delays_s(self) -> float:
        """The sum of the delays of one call of each stage."""
        return self.scale * sum(fault.delay_s for fault in self.stages.values())

    def with_options(self, seed: int | None = None, scale: float | None = None) -> "FaultPlan":
        """Return the plan with another seed or scale, if given."""
        return FaultPlan(
            stages=self.stages,
            seed=self.seed if seed is None else seed,
            scale=self.scale if scale is None else scale,
        )


ORIGINAL = FaultPlan(
    stages={
        Stage.FILTER_INPUT: StageFault(rate=0.20, delay_s=1.0, error=Failure.VALUE_ERROR),
        Stage.GET_WORDS: StageFault(rate=0.25, delay_s=1.0, error=Failure.VALUE_ERROR),
        Stage.FIND_ANAGRAMS: StageFault(rate=0.10, delay_s=0.25, error=Failure.VALUE_ERROR),
        Stage.PERMUTATIONS: StageFault(rate=0.01, delay_s=0.1, error=Failure.VALUE_ERROR),
    }
)
"""The faults of the exercise that this project is based on."""


def load_plan(spec: str) -> FaultPlan | None:
    """Return the plan that `spec` names: `none`, `original` or the path of a JSON file; None for no faults.

    Raises:
        Misconfigured: the file cannot be read, or does not contain a plan.
    """
    if spec == "none":
        return None
    if spec == "original":
        return ORIGINAL
    try:
        return FaultPlan.model_validate_json(Path(spec).read_bytes().removeprefix(codecs.BOM_UTF8))
    except OSError as error:
        raise Misconfigured(
            f"faults: cannot read {spec}: {error.strerror}", "give none, original or the path of a JSON file"
        ) from error
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'it'}: {one['msg']}"
            for one in error.errors(include_url=False, include_input=False)
        )
        raise Misconfigured(
            f"faults: {spec} does not contain a plan: {wrong}",
            'for example: {"stages": {"get_words": {"rate": 0.25, "delay_s": 1}}, "seed": 1}',
        ) from error


@dataclass(frozen=True, slots=True)
class Fault:
    """The fault of one call: it takes `delay_s` longer, then raises `error` unless that is None."""

    delay_s: float = 0.0
    error: StreamError | None = None


NO_FAULT = Fault()


class Faults:
    """Draws the fault of each call of a stage, and counts faults. Thread-safe.

    Attributes:
        plan: the faults to inject.
        injected: (stage, kind) -> number of faults; the kind is `delay` or a `Failure`.
    """

    def __init__(self, plan: FaultPlan, seed: int | None = None) -> None:
        """`seed` takes precedence over the seed of the plan."""
        self.plan = plan.with_options(seed)
        self.injected: Counter[tuple[str, str]] = Counter()
        self._attempts: Counter[tuple[Stage, int]] = Counter()  # stage and hash of the key
        self._lock = threading.Lock()

    def draw(self, stage: str, key: str = "") -> Fault:
        """Return the fault of the next call of `stage` for `key`; every call for a key gets its own."""
        step = Stage(stage)
        fault = self.plan.stages.get(step)
        if fault is None:
            return NO_FAULT
        delay_s = fault.delay_s * self.plan.scale
        with self._lock:
            if len(self._attempts) >= ATTEMPTS_KEPT_MAX:
                self._attempts.clear()
            call = (step, hash(key))
            self._attempts[call] += 1
            fails = self._number(step, key, self._attempts[call]) < fault.rate
            if delay_s:
                self.injected[step.value, DELAY] += 1
            if fails:
                self.injected[step.value, fault.error.value] += 1
        return Fault(delay_s, _error(fault.error, step.value) if fails else None)

    def _number(self, stage: Stage, key: str, nth: int) -> float:
        """Return a pseudo-random number from 0 up to 1, always the same for the same arguments."""
        digest = blake2b(f"{self.plan.seed}/{stage}/{nth}/{key}".encode(), digest_size=6).digest()
        return int.from_bytes(digest, "big") / (1 << 48)


_DETAIL = "failed on purpose (fault injection)"


def _error(failure: Failure, stage: str) -> StreamError:
    if failure is Failure.REJECTED:
        return Rejected(Reason.RETRIES_EXHAUSTED, stage, f"{stage}: {_DETAIL}; it is not retried")
    return (StageValueError if failure is Failure.VALUE_ERROR else StageFailed)(stage, _DETAIL)
