"""`pipeline`: runs the test cases, or the user's own text, in this process, without Kafka."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from stream.cli.app import warn
from stream.cli.listing import Format, JsonOption, quiet_pipe, write_line
from stream.cli.shown import bar
from stream.config import load_settings
from stream.core.text import why_not_utf8
from stream.errors import Misconfigured
from stream.exercise.faults import FaultPlan, Faults, load_plan
from stream.tools.blobs import BlobSplitting, find_sources, read_blobs, stdin_has_text

if TYPE_CHECKING:
    from stream.exercise.cases import Case
    from stream.exercise.runs import TextRun
    from stream.exercise.stages import Stages
    from stream.exercise.trials import Trials

CASES_HELP = (
    "Test cases, separated by commas: small, medium, large, edge, or all (except edge). By default small."
)
FILE_HELP = "File with your own text; `-` is standard input. Repeatable."
FAULTS_HELP = "Injected failures and delays: none, original, or a JSON file."
SEED_HELP = "Seed for the faults. By default the seed in the faults file, or 0."
SCALE_HELP = "Factor for the injected delays. By default the factor in the faults file, or 1."
RUNS_HELP = (
    "Run each case N times, each time with the next seed; show how many runs succeed and how long they take. "
    "The naive pipeline runs on `small` for comparison."
)


def pipeline(  # noqa: PLR0913 - the options of a command
    *,
    test_case: Annotated[str | None, typer.Option(help=CASES_HELP, show_default=False)] = None,
    file: Annotated[list[Path] | None, typer.Option(help=FILE_HELP)] = None,
    text: Annotated[str | None, typer.Option(help="Text given on the command line.")] = None,
    faults: Annotated[str, typer.Option(help=FAULTS_HELP)] = "none",
    seed: Annotated[int | None, typer.Option(min=0, help=SEED_HELP)] = None,
    scale: Annotated[float | None, typer.Option(min=0, max=1, help=SCALE_HELP)] = None,
    runs: Annotated[int, typer.Option(min=0, max=1_000_000, help=RUNS_HELP)] = 0,
    output_format: JsonOption = Format.TABLE,
) -> None:
    """Count anagrams in this process, without Kafka, and compare the result with the expected counts.

    Runs the test cases, or your own text from --file, --text or a pipe. Exit status 1 if a run failed.
    """
    plan = load_plan(faults)
    if plan is None and (seed is not None or scale is not None):
        raise Misconfigured("--seed and --scale need --faults", "add --faults, or omit --seed and --scale")
    if plan is not None:
        plan = plan.with_options(seed, scale)
    if test_case is not None and (file or text is not None):
        raise Misconfigured(
            "--test-case cannot be combined with --file or --text",
            "omit --test-case, or omit --file and --text",
        )
    cases = "small" if test_case is None else test_case
    if runs:
        if file or text is not None:
            raise Misconfigured("--runs needs test cases", "omit --file and --text")
        _run_trials(cases, plan, runs, output_format)
        return
    own = _own_texts(file or [], text) if test_case is None else []
    text_runs, stages = _run_own(own, plan) if own else _run_cases(cases, plan)
    _print(text_runs, stages, output_format)
    if any(run.problem for run in text_runs):
        raise typer.Exit(1)


def _own_texts(files: list[Path], text: str | None) -> list[tuple[str, str]]:
    """Return the origin and content of each of the user's texts; empty if none was given.

    Raises:
        Misconfigured: a text cannot be read, is not UTF-8, or is longer than the settings allow.
    """
    own = [] if text is None else [("--text", text)]
    is_given = bool(files or own)
    if not is_given and stdin_has_text(warn):
        files = [Path("-")]
    if not files:
        return own
    splitting = BlobSplitting(whole=True, bytes_max=load_settings().text_bytes_max, keyed=False, prefix="")
    for blob in read_blobs(find_sources(files), splitting):
        if blob.problem:
            raise Misconfigured(f"{blob.origin}: {blob.problem}")
        try:
            own.append((blob.origin, blob.text.decode()))
        except UnicodeDecodeError as error:
            raise Misconfigured(f"{blob.origin} is {why_not_utf8(blob.text, error.start)}") from error
    return own if is_given or any(text.strip() for _, text in own) else []  # an empty pipe does not count


def _run_own(texts: list[tuple[str, str]], plan: FaultPlan | None) -> tuple[list["TextRun"], "Stages"]:
    """Run the user's texts with the dictionary of the settings."""
    from stream.dictionary import load_index  # noqa: PLC0415 - slow to import
    from stream.exercise.stages import Stages  # noqa: PLC0415 - slow to import

    dictionary = load_settings().dictionary
    index = None if dictionary is None else load_index(dictionary)
    stages = Stages(index, None if plan is None else Faults(plan))
    return _run([(origin, text, None) for origin, text in texts], stages), stages


def _run_cases(names: str, plan: FaultPlan | None) -> tuple[list["TextRun"], "Stages"]:
    """Run test cases; their expected counts are those of the default dictionary."""
    from stream.exercise.cases import load_cases  # noqa: PLC0415 - slow to import
    from stream.exercise.stages import Stages  # noqa: PLC0415 - slow to import

    cases = load_cases(names)
    stages = Stages(faults=None if plan is None else Faults(plan))
    return _run([(case.name, case.text, case) for case in cases], stages), stages


def _run(texts: "list[tuple[str, str, Case | None]]", stages: "Stages") -> list["TextRun"]:
    from stream.exercise.runs import run_texts  # noqa: PLC0415 - slow to import

    with _progress() as progress:
        task = progress.add_task("texts", total=len(texts))
        return run_texts(texts, stages, lambda: progress.advance(task))


def _print(runs: list["TextRun"], stages: "Stages", output_format: Format) -> None:
    from stream.cli import pipeline_view as view  # noqa: PLC0415 - slow to import

    with quiet_pipe():
        if output_format is Format.JSON:
            write_line(orjson.dumps(view.results_json(runs, stages)))
        else:
            view.print_results(runs, stages)


def _run_trials(names: str, plan: FaultPlan | None, runs: int, output_format: Format) -> None:
    """Run cases many times, and the cases of `small` with the naive pipeline, too."""
    from stream.cli import pipeline_view as view  # noqa: PLC0415 - slow to import
    from stream.exercise.cases import load_cases  # noqa: PLC0415 - slow to import
    from stream.exercise.trials import run_baseline_trials, run_trials  # noqa: PLC0415 - slow to import

    cases = load_cases(names)
    small = [case for case in cases if case.group == "small"]
    results: list[Trials] = []
    with _progress() as progress:
        task = progress.add_task("runs", total=runs * (len(cases) + len(small)))
        for attempt, chosen in ((run_trials, cases), (run_baseline_trials, small)):
            results += [attempt(case, plan, runs, lambda: progress.advance(task)) for case in chosen]
    with quiet_pipe():
        if output_format is Format.JSON:
            write_line(orjson.dumps(view.trials_json(results, plan)))
        else:
            view.print_trials(results, plan)
    if any(trials.failures for trials in results if trials.pipeline == "pipeline"):
        raise typer.Exit(1)


def _progress() -> Progress:
    return bar(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
