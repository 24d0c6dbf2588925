"""`pipeline`: the test cases, or one's own text, through the pipeline in this process, without Kafka."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from stream.cli.app import err
from stream.cli.blobs import Cut, blobs, sources, stdin_has_text
from stream.cli.listing import Format, quiet_pipe, write_line
from stream.config import load_settings
from stream.errors import Misconfigured, StreamError
from stream.exercise.faults import FaultPlan, Faults, load_plan

if TYPE_CHECKING:
    from stream.exercise.cases import Case
    from stream.exercise.stages import Stages
    from stream.exercise.trials import Trials

CASES_HELP = (
    "small, medium, large, edge or all (without edge); several with commas between. By default small."
)
FILE_HELP = "Your own text; `-` is standard input. Repeatable."
FAULTS_HELP = "Failures and delays on purpose: none, original, or a JSON file."
SEED_HELP = "Of the faults; the same gives the same again. By default that of their file, or 0."
SCALE_HELP = "Delays of the faults are multiplied by it. By default that of their file, or 1."
RUNS_HELP = (
    "Run each case so often, each time with the next seed, and show how many runs succeed and how long they "
    "take; the naive pipeline's on `small` beside it."
)


@dataclass(frozen=True, slots=True)
class Ran:
    """How one text fared.

    Attributes:
        case: what was expected; None for a text of one's own.
        problem: why it failed; empty where it did not.
    """

    name: str
    case: "Case | None"
    runtime_ms: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    problem: str = ""

    def as_json(self) -> dict[str, object]:
        """Return it for programs."""
        expected = None if self.case is None else self.case.expected_runtime_ms
        return {
            "name": self.name,
            "group": None if self.case is None else self.case.group,
            "runtime_ms": round(self.runtime_ms, 3),
            "expected_runtime_ms": expected,
            "passed": not self.problem,
            "problem": self.problem or None,
            "anagram_counts": self.counts,
        }


def pipeline(  # noqa: PLR0913 - a command's options
    *,
    test_case: Annotated[str | None, typer.Option(help=CASES_HELP, show_default=False)] = None,
    file: Annotated[list[Path] | None, typer.Option(help=FILE_HELP)] = None,
    text: Annotated[str | None, typer.Option(help="Your own text, here and now.")] = None,
    faults: Annotated[str, typer.Option(help=FAULTS_HELP)] = "none",
    seed: Annotated[int | None, typer.Option(min=0, help=SEED_HELP)] = None,
    scale: Annotated[float | None, typer.Option(min=0, max=1, help=SCALE_HELP)] = None,
    runs: Annotated[int, typer.Option(min=0, max=1_000_000, help=RUNS_HELP)] = 0,
    output: Annotated[Format, typer.Option("--format", help="What is printed.")] = Format.TABLE,
) -> None:
    """Count anagrams in this process, without Kafka, and check the counts against those expected.

    Runs the test cases, or your own text from --file, --text or a pipe. Exit status 1 when a run failed.
    """
    plan = load_plan(faults)
    if plan is None and (seed is not None or scale is not None):
        raise Misconfigured("--seed and --scale are those of the faults", "give --faults, too")
    if plan is not None:
        plan = plan.with_options(seed, scale)
    if test_case is not None and (file or text is not None):
        raise Misconfigured("--test-case has texts of its own", "leave out --test-case, or --file and --text")
    cases = "small" if test_case is None else test_case
    if runs:
        if file or text is not None:
            raise Misconfigured("--runs is about test cases", "leave out --file and --text")
        _try(cases, plan, runs, output)
        return
    own = _own_texts(file or [], text) if test_case is None else []
    ran, stages = _run_own(own, plan) if own else _run_cases(cases, plan)
    _show(ran, stages, output)
    if any(one.problem for one in ran):
        raise typer.Exit(1)


def _own_texts(files: list[Path], text: str | None) -> list[tuple[str, str]]:
    """Return the user's texts and where each comes from; none where there are none.

    Raises:
        Misconfigured: one cannot be read, is no UTF-8, or longer than the settings allow.
    """
    own = [] if text is None else [("--text", text)]
    asked = bool(files or own)
    if not asked and stdin_has_text():
        files = [Path("-")]
    if not files:
        return own
    cut = Cut(whole=True, bytes_max=load_settings().text_bytes_max, keyed=False, prefix="")
    for blob in blobs(sources(files), cut):
        if blob.problem:
            raise Misconfigured(f"{blob.where}: {blob.problem}")
        try:
            own.append((blob.where, blob.text.decode()))
        except UnicodeDecodeError as error:
            raise Misconfigured(f"{blob.where} is not UTF-8: byte {error.start} cannot be read") from error
    return own if asked or any(text.strip() for _, text in own) else []  # an empty pipe says nothing


def _run_own(texts: list[tuple[str, str]], plan: FaultPlan | None) -> tuple[list[Ran], "Stages"]:
    """Run texts of one's own, by the dictionary of the settings."""
    from stream.dictionary import load_index  # noqa: PLC0415
    from stream.exercise.stages import Stages  # noqa: PLC0415 - slow to load, and workers do without

    dictionary = load_settings().dictionary
    index = None if dictionary is None else load_index(dictionary)
    stages = Stages(index, None if plan is None else Faults(plan))
    return _run([(where, text, None) for where, text in texts], stages), stages


def _run_cases(names: str, plan: FaultPlan | None) -> tuple[list[Ran], "Stages"]:
    """Run test cases; what they expect is of the default dictionary."""
    from stream.exercise.cases import load_cases  # noqa: PLC0415
    from stream.exercise.stages import Stages  # noqa: PLC0415

    cases = load_cases(names)
    stages = Stages(faults=None if plan is None else Faults(plan))
    return _run([(case.name, case.text, case) for case in cases], stages), stages


def _run(texts: "list[tuple[str, str, Case | None]]", stages: "Stages") -> list[Ran]:
    from stream.exercise.orchestrator import TaskOrchestrator  # noqa: PLC0415

    ran, orchestrator = [], TaskOrchestrator(stages)
    with _progress() as progress:
        for name, text, case in progress.track(texts, description="texts"):
            try:
                result = orchestrator.process_text(text)
            except StreamError as error:
                ran.append(Ran(name, case, problem=str(error)))
                continue
            counts = result["anagram_counts"]
            wrong = "" if case is None else case.differences(counts)
            ran.append(Ran(name, case, result["runtime"], counts, wrong and f"wrong counts: {wrong}"))
    return ran


def _show(ran: list[Ran], stages: "Stages", output: Format) -> None:
    from stream.cli import pipeline_view as view  # noqa: PLC0415

    with quiet_pipe():
        if output is Format.JSON:
            write_line(orjson.dumps(view.results_json([one.as_json() for one in ran], stages)))
        else:
            view.show_results(ran, stages)


def _try(names: str, plan: FaultPlan | None, runs: int, output: Format) -> None:
    """Run cases many times; the naive pipeline takes part where `small` does."""
    from stream.cli import pipeline_view as view  # noqa: PLC0415
    from stream.exercise.cases import load_cases  # noqa: PLC0415
    from stream.exercise.trials import try_baseline, try_often  # noqa: PLC0415

    cases = load_cases(names)
    small = [case for case in cases if case.group == "small"]
    found: list[Trials] = []
    with _progress() as progress:
        task = progress.add_task("runs", total=runs * (len(cases) + len(small)))
        for attempt, chosen in ((try_often, cases), (try_baseline, small)):
            found += [attempt(case, plan, runs, lambda: progress.advance(task)) for case in chosen]
    with quiet_pipe():
        if output is Format.JSON:
            write_line(orjson.dumps(view.trials_json(found, plan)))
        else:
            view.show_trials(found, plan)
    if any(trials.failures for trials in found if trials.pipeline == "pipeline"):
        raise typer.Exit(1)


def _progress() -> Progress:
    """A display of what is done, on a terminal alone."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
