"""Contestants and cases -> what was measured."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stream.core.text import words
from stream.errors import Misconfigured
from stream.exercise.benchmark.isolated import Broken, Isolated, Limits
from stream.exercise.benchmark.messages import (
    BASELINE,
    NO_FAULTS,
    PIPELINE,
    CaseDone,
    Conditions,
    Job,
    Order,
    StageFigures,
)
from stream.exercise.benchmark.summary import Summary, summarize
from stream.exercise.cases import Case

_DIRECTORY_FILE = "__init__.py"


@dataclass(frozen=True, slots=True)
class Contestant:
    """Who is measured: a name for people, and what `loading` takes."""

    name: str
    source: str


@dataclass(frozen=True, slots=True)
class Run:
    """One run: failed where `why` says something."""

    runtime_ms: float
    cpu_s: float
    peak_mib: float
    why: str = ""


@dataclass(slots=True)
class Measured:
    """A contestant's runs of a case.

    Attributes:
        words: of the text.
        asked: how many runs there were to be.
        runs: those that came to an end; fewer where the process broke.
        broke: why it did.
        growth_mib: by how much its memory grew over all runs of the case.
        stages: what became of the stages' calls, those of failed runs too.
    """

    contestant: str
    case: Case
    words: int
    asked: int
    runs: list[Run] = field(default_factory=list)
    broke: str = ""
    growth_mib: float | None = None
    stages: Mapping[str, StageFigures] = field(default_factory=dict)

    @property
    def tried_stages(self) -> bool:
        """Whether it called any of the stages, which is where faults are met."""
        return any(figures.attempts for figures in self.stages.values())

    @property
    def right(self) -> list[Run]:
        """The runs that succeeded; only these are timed."""
        return [run for run in self.runs if not run.why]

    @property
    def success_rate(self) -> float:
        """Successes of the runs that there were to be."""
        return len(self.right) / self.asked

    @property
    def runtime_ms(self) -> Summary | None:
        """Of the runs that succeeded."""
        return summarize([run.runtime_ms for run in self.right]) if self.right else None

    @property
    def words_per_s(self) -> Summary | None:
        """Of the runs that succeeded; the mean is all their words by all their time."""
        if not self.right or not self.words:
            return None
        each = summarize([self.words / run.runtime_ms * 1000 for run in self.right])
        seconds = sum(run.runtime_ms for run in self.right) / 1000
        mean = len(self.right) * self.words / seconds
        return Summary(each.n, mean, each.median, each.p95, each.half_width)

    @property
    def peak_mib(self) -> float | None:
        """The most memory of any run."""
        return max((run.peak_mib for run in self.runs), default=None)

    @property
    def cpu_percent(self) -> float | None:
        """Processor time by time, of the runs that succeeded; above 100 where several processors worked."""
        seconds = sum(run.runtime_ms for run in self.right) / 1000
        return 100 * sum(run.cpu_s for run in self.right) / seconds if seconds else None

    @property
    def problems(self) -> list[str]:
        """What failed, and how often."""
        whys = [run.why for run in self.runs if run.why]
        found = [f"{_times(whys.count(why), self.asked)}: {why}" for why in dict.fromkeys(whys)]
        if self.broke:
            left = self.asked - len(self.runs) - 1
            also = f"; {_runs(left)} after it left out" if left else ""
            found.append(f"run {len(self.runs) + 1} of {self.asked}: {self.broke}{also}")
        return found


def _times(n: int, asked: int) -> str:
    return f"{n} of {_runs(asked)}"


def _runs(n: int) -> str:
    return "1 run" if n == 1 else f"{n} runs"


Tell = Callable[[str, str, int], None]
"""Hears of contestant, case and how many of its runs are over."""


@dataclass(slots=True)
class Comparison:
    """What was measured of all.

    Attributes:
        measured: contestant by contestant, case by case.
        unusable: contestant -> why it could not be made.
    """

    conditions: Conditions
    measured: list[Measured] = field(default_factory=list)
    unusable: dict[str, str] = field(default_factory=dict)

    @property
    def has_faults(self) -> bool:
        """Whether stages failed on purpose."""
        return self.conditions.faults != NO_FAULTS


def named(choice: str) -> Contestant:
    """Return the contestant that `--orchestrator` names.

    Raises:
        Misconfigured: there is no such file.
    """
    if choice in {BASELINE, PIPELINE}:
        return Contestant(choice, choice)
    path = Path(choice)
    if not path.is_file():
        raise Misconfigured(
            f"no file {choice}", f"give {PIPELINE}, {BASELINE}, or a Python file with a TaskOrchestrator"
        )
    return Contestant(path.stem, str(path))


def contestants_in(folder: Path) -> list[Contestant]:
    """Return the baseline and a contestant for each Python file of a folder.

    Raises:
        Misconfigured: there is no such folder, or no Python file in it.
    """
    if not folder.is_dir():
        raise Misconfigured(
            f"no folder {folder}", "give --compare-dir a folder of Python files, as benchmark_orchestrators"
        )
    files = sorted(path for path in folder.glob("*.py") if path.name != _DIRECTORY_FILE)
    if not files:
        raise Misconfigured(
            f"no Python files in {folder}", "put files there that have a class TaskOrchestrator"
        )
    return [Contestant(BASELINE, BASELINE), *(Contestant(_name(path), str(path)) for path in files)]


def _name(path: Path) -> str:
    return path.name if path.stem == BASELINE else path.stem


def compare(
    contestants: Iterable[Contestant],
    cases: Sequence[Case],
    conditions: Conditions,
    limits: Limits,
    tell: Tell,
) -> Comparison:
    """Measure one contestant after the other, each in a process of its own."""
    found = Comparison(conditions)
    for contestant in contestants:
        try:
            found.measured += _all_cases(contestant, cases, conditions, limits, tell)
        except Broken as error:
            found.unusable[contestant.name] = str(error)
            for case in cases:
                tell(contestant.name, case.name, conditions.iterations)
    return found


def _all_cases(
    contestant: Contestant, cases: Sequence[Case], conditions: Conditions, limits: Limits, tell: Tell
) -> list[Measured]:
    """Run all cases, in a new process after each that broke.

    Raises:
        Broken: the orchestrator could not be made.
    """
    found: list[Measured] = []
    left = list(cases)
    while left:  # ends: each process takes at least one case
        tell(contestant.name, left[0].name, 0)
        with Isolated(Job(contestant.source, conditions.faults, conditions.seed), limits) as process:
            try:
                process.start()
            except Broken as error:
                process.kill()
                if not found:
                    raise
                for case in left:
                    found.append(_begun(contestant, case, conditions))
                    found[-1].broke = str(error)
                break
            while left:
                measured = _begun(contestant, left.pop(0), conditions)
                found.append(measured)
                _one_case(process, measured, conditions, tell)
                if measured.broke:
                    process.kill()
                    break
    return found


def _begun(contestant: Contestant, case: Case, conditions: Conditions) -> Measured:
    return Measured(contestant.name, case, len(words(case.text)), conditions.iterations)


def _one_case(process: Isolated, measured: Measured, conditions: Conditions, tell: Tell) -> None:
    case = measured.case
    try:
        for said in process.run(Order(case.text, conditions.iterations, conditions.seed)):
            if isinstance(said, CaseDone):
                measured.growth_mib, measured.stages = said.growth_mib, said.stages
                continue
            wrong = said.why or case.differences(said.counts)
            why = wrong if said.why or not wrong else f"wrong counts: {wrong}"
            peak_mib = max(said.peak_mib, process.peak_mib)
            measured.runs.append(Run(said.runtime_ms, said.cpu_s, peak_mib, why))
            tell(measured.contestant, case.name, len(measured.runs))
    except Broken as error:
        measured.broke = str(error)
    tell(measured.contestant, case.name, measured.asked)
