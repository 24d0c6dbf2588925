"""Many runs of a pipeline under faults: how many succeed, and how long they take."""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from statistics import median, quantiles

from stream.errors import StreamError
from stream.exercise import baseline
from stream.exercise.cases import Case
from stream.exercise.faults import FaultPlan, Faults
from stream.exercise.orchestrator import Result, TaskOrchestrator
from stream.exercise.stages import Stages

AT_ONCE = 8  # runs that overlap; more of them would wait for the processor, and for nothing else
NAIVE_AT_ONCE = 32  # these sleep where the others await

Tell = Callable[[], None]
"""Told of each run that ended."""


@dataclass(slots=True)
class Trials:
    """What came of many runs of one case.

    Attributes:
        runtimes_ms: of the runs that succeeded.
        failures: what was wrong with the others -> how often.
    """

    pipeline: str
    case: str
    runs: int
    runtimes_ms: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def successes(self) -> int:
        """Runs that ended, with the right counts."""
        return len(self.runtimes_ms)

    @property
    def median_ms(self) -> float | None:
        """The middle of the runtimes."""
        return median(self.runtimes_ms) if self.runtimes_ms else None

    @property
    def p95_ms(self) -> float | None:
        """The runtime that 95 % of the runs do not exceed."""
        if len(self.runtimes_ms) < 2:  # noqa: PLR2004 - a single one is all there is
            return self.median_ms
        return quantiles(self.runtimes_ms, n=20, method="inclusive")[-1]

    def note(self, case: Case, outcome: Result | StreamError) -> None:
        """Take in how a run ended."""
        if isinstance(outcome, StreamError):
            self.failures[str(outcome)] += 1
        elif wrong := case.differences(outcome["anagram_counts"]):
            self.failures[f"wrong counts: {wrong}"] += 1
        else:
            self.runtimes_ms.append(outcome["runtime"])


def try_often(case: Case, plan: FaultPlan | None, runs: int, tell: Tell) -> Trials:
    """Run the pipeline on a case, AT_ONCE runs at a time; run n has the plan's seed plus n."""
    trials = Trials("pipeline", case.name, runs)

    async def one(number: int, room: asyncio.Semaphore) -> None:
        async with room:
            try:
                outcome: Result | StreamError = await TaskOrchestrator(_stages(plan, number)).process(
                    case.text
                )
            except StreamError as error:
                outcome = error
        trials.note(case, outcome)
        tell()

    async def all_of_them() -> None:
        room = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(one(number, room) for number in range(runs)))

    asyncio.run(all_of_them())
    return trials


def try_baseline(case: Case, plan: FaultPlan | None, runs: int, tell: Tell) -> Trials:
    """Run the naive pipeline on a case in the same way, with the same seeds."""
    trials = Trials("baseline", case.name, runs)

    def one(number: int) -> Result | StreamError:
        try:
            return baseline.TaskOrchestrator(_stages(plan, number)).process_text(case.text)
        except StreamError as error:
            return error

    with ThreadPoolExecutor(NAIVE_AT_ONCE) as pool:
        for ended in as_completed([pool.submit(one, number) for number in range(runs)]):
            trials.note(case, ended.result())
            tell()
    return trials


def _stages(plan: FaultPlan | None, number: int) -> Stages:
    return Stages(faults=None if plan is None else Faults(plan, plan.seed + number))
