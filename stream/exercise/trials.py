"""Runs a pipeline many times with faults, and measures its success rate and runtimes."""

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

RUNS_CONCURRENT = 8  # more would only wait for the processor
BASELINE_RUNS_CONCURRENT = 32  # the baseline sleeps in threads during delays

OnProgress = Callable[[], None]
"""Called after each run."""


@dataclass(slots=True)
class Trials:
    """The outcomes of many runs of one case.

    Attributes:
        runtimes_ms: runtimes of the successful runs.
        failures: reason of a failure -> number of runs.
    """

    pipeline: str
    case: str
    runs: int
    runtimes_ms: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def successes(self) -> int:
        """Number of runs that ended with the expected counts."""
        return len(self.runtimes_ms)

    @property
    def median_ms(self) -> float | None:
        """The median runtime of successful runs."""
        return median(self.runtimes_ms) if self.runtimes_ms else None

    @property
    def p95_ms(self) -> float | None:
        """The runtime that 95 % of successful runs do not exceed."""
        if len(self.runtimes_ms) < 2:  # noqa: PLR2004 - quantiles need two
            return self.median_ms
        return quantiles(self.runtimes_ms, n=20, method="inclusive")[-1]

    def add(self, case: Case, outcome: Result | StreamError) -> None:
        """Add the outcome of a run."""
        if isinstance(outcome, StreamError):
            self.failures[str(outcome)] += 1
        elif wrong := case.differences(outcome["anagram_counts"]):
            self.failures[f"wrong counts: {wrong}"] += 1
        else:
            self.runtimes_ms.append(outcome["runtime"])


def run_trials(case: Case, plan: FaultPlan | None, runs: int, on_progress: OnProgress) -> Trials:
    """Run the pipeline on a case, RUNS_CONCURRENT runs at a time; run n uses the seed of the plan plus n."""
    trials = Trials("pipeline", case.name, runs)

    async def run(number: int, limit: asyncio.Semaphore) -> None:
        async with limit:
            try:
                outcome: Result | StreamError = await TaskOrchestrator(_stages(plan, number)).process(
                    case.text
                )
            except StreamError as error:
                outcome = error
        trials.add(case, outcome)
        on_progress()

    async def run_all() -> None:
        limit = asyncio.Semaphore(RUNS_CONCURRENT)
        await asyncio.gather(*(run(number, limit) for number in range(runs)))

    asyncio.run(run_all())
    return trials


def run_baseline_trials(case: Case, plan: FaultPlan | None, runs: int, on_progress: OnProgress) -> Trials:
    """Run the baseline on a case, with the same seeds."""
    trials = Trials("baseline", case.name, runs)

    def run(number: int) -> Result | StreamError:
        try:
            return baseline.TaskOrchestrator(_stages(plan, number)).process_text(case.text)
        except StreamError as error:
            return error

    with ThreadPoolExecutor(BASELINE_RUNS_CONCURRENT) as pool:
        for ended in as_completed([pool.submit(run, number) for number in range(runs)]):
            trials.add(case, ended.result())
            on_progress()
    return trials


def _stages(plan: FaultPlan | None, number: int) -> Stages:
    return Stages(faults=None if plan is None else Faults(plan, plan.seed + number))
