"""Failures and delays on purpose, stage by stage. It only decides; who meets a fault waits and raises.

What happens is drawn from the seed, the stage, the key of the call and how often that key was tried, and
from nothing else: the same seed gives the same faults in whatever order concurrent calls come.
"""

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
TRIED_MAX = 100_000  # calls remembered; then it begins anew, and their draws with it
DELAY = "delay"  # what delays are counted as


class Stage(StrEnum):
    """A step of the pipeline that can be met by faults."""

    FILTER_INPUT = "filter_input"
    GET_WORDS = "get_words"
    FIND_ANAGRAMS = "find_anagrams"
    PERMUTATIONS = "permutations"


class Failure(StrEnum):
    """What a failing stage raises."""

    PASSING = "passing"  # StageFailed: tried again
    VALUE_ERROR = "value-error"  # the same, and a ValueError, for who catches that
    REJECTED = "rejected"  # Rejected: not tried again


class StageFault(BaseModel):
    """What happens to one stage: each call takes longer by `delay_s`, and of all calls `rate` fail."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    rate: Annotated[float, Field(ge=0, le=1)] = 0.0
    delay_s: Annotated[float, Field(ge=0, le=DELAY_S_MAX)] = 0.0
    error: Failure = Failure.PASSING


class FaultPlan(BaseModel):
    """Which stages fail, how often and in which way. Delays are multiplied by `scale`."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    stages: Mapping[Stage, StageFault] = Field(default_factory=dict)
    seed: Annotated[int, Field(ge=0)] = 0
    scale: Annotated[float, Field(ge=0, le=1)] = 1.0

    @property
    def delays_s(self) -> float:
        """How long one call of each stage takes together."""
        return self.scale * sum(fault.delay_s for fault in self.stages.values())

    def with_options(self, seed: int | None = None, scale: float | None = None) -> "FaultPlan":
        """Return the plan with another seed or scale, where given."""
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
"""The rates of the exercise that this project comes from."""


def load_plan(spec: str) -> FaultPlan | None:
    """Return the plan that `none`, `original` or the path of a JSON file names; None for no faults.

    Raises:
        Misconfigured: there is no such file, or it holds no plan.
    """
    if spec == "none":
        return None
    if spec == "original":
        return ORIGINAL
    try:
        return FaultPlan.model_validate_json(Path(spec).read_bytes())
    except OSError as error:
        raise Misconfigured(
            f"faults: cannot read {spec}: {error.strerror}", "give none, original or a JSON file"
        ) from error
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'it'}: {one['msg']}"
            for one in error.errors(include_url=False, include_input=False)
        )
        raise Misconfigured(
            f"faults: {spec} holds no plan: {wrong}",
            'write for example {"stages": {"get_words": {"rate": 0.25, "delay_s": 1}}, "seed": 1}',
        ) from error


@dataclass(frozen=True, slots=True)
class Met:
    """What one call meets: it takes `delay_s` longer, and then `error` is raised, where there is one."""

    delay_s: float = 0.0
    error: StreamError | None = None


NOTHING = Met()


class Faults:
    """Says what each call of a stage meets, and counts it. May be asked by several threads.

    Attributes:
        plan: what is injected.
        injected: (stage, kind) -> how often; the kind is `delay` or a `Failure`.
    """

    def __init__(self, plan: FaultPlan, seed: int | None = None) -> None:
        """`seed` goes before that of the plan."""
        self.plan = plan.with_options(seed)
        self.injected: Counter[tuple[str, str]] = Counter()
        self._tried: Counter[tuple[Stage, int]] = Counter()  # stage and hash of the key
        self._lock = threading.Lock()

    def meet(self, stage: str, key: str = "") -> Met:
        """Return what the next call of `stage` for `key` meets; calls of one key are told apart."""
        step = Stage(stage)
        fault = self.plan.stages.get(step)
        if fault is None:
            return NOTHING
        delay_s = fault.delay_s * self.plan.scale
        with self._lock:
            if len(self._tried) >= TRIED_MAX:
                self._tried.clear()
            call = (step, hash(key))
            self._tried[call] += 1
            fails = self._draw(step, key, self._tried[call]) < fault.rate
            if delay_s:
                self.injected[step.value, DELAY] += 1
            if fails:
                self.injected[step.value, fault.error.value] += 1
        return Met(delay_s, _error(fault.error, step.value) if fails else None)

    def _draw(self, stage: Stage, key: str, nth: int) -> float:
        """Return a number from 0 up to 1 that looks random and is always the same."""
        digest = blake2b(f"{self.plan.seed}/{stage}/{nth}/{key}".encode(), digest_size=6).digest()
        return int.from_bytes(digest, "big") / (1 << 48)


_SAID = "failed on purpose (fault injection)"


def _error(failure: Failure, stage: str) -> StreamError:
    if failure is Failure.REJECTED:
        return Rejected(Reason.RETRIES_EXHAUSTED, stage, f"{stage}: {_SAID}, and not to be tried again")
    return (StageValueError if failure is Failure.VALUE_ERROR else StageFailed)(stage, _SAID)
