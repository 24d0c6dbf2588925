"""Measures orchestrators on cases."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stream.core.text import words
from stream.errors import Misconfigured
from stream.exercise.benchmark.messages import (
    BASELINE,
    NO_FAULTS,
    PIPELINE,
    CaseEnded,
    CaseOrder,
    Conditions,
    OrchestratorOrder,
    StageFigures,
)
from stream.exercise.benchmark.orchestrator_process import Limits, OrchestratorFailed, OrchestratorProcess
from stream.exercise.benchmark.summary import Summary, summarize
from stream.exercise.cases import Case

_DIRECTORY_FILE = "__init__.py"


@dataclass(frozen=True, slots=True)
class Orchestrator:
    """An orchestrator to measure: a name for the output, and the source that `loading` takes."""

    name: str
    source: str


@dataclass(frozen=True, slots=True)
class Run:
    """One run; it failed if `why` is not empty."""

    runtime_ms: float
    cpu_s: float
    peak_mib: float
    why: str = ""


@dataclass(slots=True)
class Measured:
    """The runs of one orchestrator on a case.

    Attributes:
        words: number of words in the text.
        planned: number of requested runs.
        runs: finished runs; fewer than planned if the process failed.
        process_failure: why the process failed; empty if it did not.
        growth_mib: growth of the memory over all runs of the case.
        stages: calls of each stage, including failed runs.
    """

    orchestrator: str
    case: Case
    words: int
    planned: int
    runs: list[Run] = field(default_factory=list)
    process_failure: str = ""
    growth_mib: float | None = None
    stages: Mapping[str, StageFigures] = field(default_factory=dict)

    @property
    def called_stages(self) -> bool:
        """Whether it called any stage; faults are injected only there."""
        return any(figures.attempts for figures in self.stages.values())

    @property
    def successes(self) -> list[Run]:
        """The runs without an error; only these are timed."""
        return [run for run in self.runs if not run.why]

    @property
    def success_rate(self) -> float:
        return len(self.successes) / self.planned

    @property
    def runtime_ms(self) -> Summary | None:
        return summarize([run.runtime_ms for run in self.successes]) if self.successes else None

    @property
    def words_per_s(self) -> Summary | None:
        """Words/s of the successful runs; the mean is the total number of words divided by the total time."""
        if not self.successes or not self.words:
            return None
        summary = summarize([self.words / run.runtime_ms * 1000 for run in self.successes])
        seconds = sum(run.runtime_ms for run in self.successes) / 1000
        mean = len(self.successes) * self.words / seconds
        return Summary(summary.n, mean, summary.median, summary.p95, summary.half_width)

    @property
    def peak_mib(self) -> float | None:
        return max((run.peak_mib for run in self.runs), default=None)

    @property
    def cpu_percent(self) -> float | None:
        """Processor time over runtime of the successful runs; above 100 if several processors were used."""
        seconds = sum(run.runtime_ms for run in self.successes) / 1000
        return 100 * sum(run.cpu_s for run in self.successes) / seconds if seconds else None

    @property
    def problems(self) -> list[str]:
        """Sentences about what failed, and how often."""
        whys = [run.why for run in self.runs if run.why]
        problems = [f"{_times(whys.count(why), self.planned)}: {why}" for why in dict.fromkeys(whys)]
        if self.process_failure:
            left = self.planned - len(self.runs) - 1
            skipped = f"; {_runs(left)} skipped" if left else ""
            problems.append(f"run {len(self.runs) + 1} of {self.planned}: {self.process_failure}{skipped}")
        return problems


def _times(n: int, planned: int) -> str:
    return f"{n} of {_runs(planned)}"


def _runs(n: int) -> str:
    return "1 run" if n == 1 else f"{n} runs"


OnProgress = Callable[[str, str, int], None]
"""Takes the names of orchestrator and case, and the number of finished runs."""


@dataclass(slots=True)
class Comparison:
    """The measurements of all orchestrators.

    Attributes:
        measured: one orchestrator after the other, each in the order of the cases.
        unusable: orchestrator -> why it could not be constructed.
    """

    conditions: Conditions
    measured: list[Measured] = field(default_factory=list)
    unusable: dict[str, str] = field(default_factory=dict)

    @property
    def has_faults(self) -> bool:
        """Whether faults were injected into the stages."""
        return self.conditions.faults != NO_FAULTS


def find_orchestrator(choice: str) -> Orchestrator:
    """Return the orchestrator that `--orchestrator` names.

    Raises:
        Misconfigured: the file does not exist.
    """
    if choice in {BASELINE, PIPELINE}:
        return Orchestrator(choice, choice)
    path = Path(choice)
    if not path.is_file():
        raise Misconfigured(
            f"no such file: {choice}", f"give {PIPELINE}, {BASELINE} or a Python file with a TaskOrchestrator"
        )
    return Orchestrator(path.stem, str(path))


def orchestrators_in(folder: Path) -> list[Orchestrator]:
    """Return the baseline, and an orchestrator for each Python file of a folder.

    Raises:
        Misconfigured: the folder does not exist, or has no Python files.
    """
    if not folder.is_dir():
        raise Misconfigured(
            f"no such folder: {folder}",
            "give --compare-dir a folder of Python files, such as benchmark_orchestrators",
        )
    files = sorted(path for path in folder.glob("*.py") if path.name != _DIRECTORY_FILE)
    if not files:
        raise Misconfigured(f"no Python files in {folder}", "add files with a class TaskOrchestrator")
    return [Orchestrator(BASELINE, BASELINE), *(Orchestrator(_name(path), str(path)) for path in files)]


def _name(path: Path) -> str:
    return path.name if path.stem == BASELINE else path.stem


def compare(
    orchestrators: Iterable[Orchestrator],
    cases: Sequence[Case],
    conditions: Conditions,
    limits: Limits,
    on_progress: OnProgress,
) -> Comparison:
    """Measure one orchestrator after the other, each in its own process."""
    comparison = Comparison(conditions)
    for orchestrator in orchestrators:
        try:
            comparison.measured += _all_cases(orchestrator, cases, conditions, limits, on_progress)
        except OrchestratorFailed as error:
            comparison.unusable[orchestrator.name] = str(error)
            for case in cases:
                on_progress(orchestrator.name, case.name, conditions.iterations)
    return comparison


def _all_cases(
    orchestrator: Orchestrator,
    cases: Sequence[Case],
    conditions: Conditions,
    limits: Limits,
    on_progress: OnProgress,
) -> list[Measured]:
    """Run all cases; after a failure of the process, run the remaining cases in a new one.

    Raises:
        OrchestratorFailed: the orchestrator could not be constructed.
    """
    rows: list[Measured] = []
    left = list(cases)
    while left:  # ends: each process takes at least one case
        on_progress(orchestrator.name, left[0].name, 0)
        order = OrchestratorOrder(
            orchestrator=orchestrator.source, faults=conditions.faults, seed=conditions.seed
        )
        with OrchestratorProcess(order, limits) as process:
            try:
                process.start()
            except OrchestratorFailed as error:
                process.kill()
                if not rows:
                    raise
                for case in left:
                    rows.append(_empty_row(orchestrator, case, conditions))
                    rows[-1].process_failure = str(error)
                break
            while left:
                measured = _empty_row(orchestrator, left.pop(0), conditions)
                rows.append(measured)
                _one_case(process, measured, conditions, on_progress)
                if measured.process_failure:
                    process.kill()
                    break
    return rows


def _empty_row(orchestrator: Orchestrator, case: Case, conditions: Conditions) -> Measured:
    return Measured(orchestrator.name, case, len(words(case.text)), conditions.iterations)


def _one_case(
    process: OrchestratorProcess, measured: Measured, conditions: Conditions, on_progress: OnProgress
) -> None:
    case = measured.case
    order = CaseOrder(text=case.text, iterations=conditions.iterations, seed=conditions.seed)
    try:
        for report in process.run(order):
            if isinstance(report, CaseEnded):
                measured.growth_mib, measured.stages = report.growth_mib, report.stages
                continue
            wrong = report.why or case.differences(report.counts)
            why = wrong if report.why or not wrong else f"wrong counts: {wrong}"
            peak_mib = max(report.peak_mib, process.peak_mib)
            measured.runs.append(Run(report.runtime_ms, report.cpu_s, peak_mib, why))
            on_progress(measured.orchestrator, case.name, len(measured.runs))
    except OrchestratorFailed as error:
        measured.process_failure = str(error)
    on_progress(measured.orchestrator, case.name, measured.planned)
