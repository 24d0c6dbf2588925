"""The output of `pipeline`: results, stages under faults, and summaries of many runs."""

import sys
from collections.abc import Sequence
from dataclasses import asdict

from stream.cli.app import out, quantity
from stream.cli.listing import Column, Rows, cut_list
from stream.exercise.faults import FaultPlan, Faults
from stream.exercise.runs import TextRun
from stream.exercise.stages import Stages
from stream.exercise.trials import Trials

FAILURES_SHOWN_MAX = 3
_CASES = (
    Column("test case", least=5),
    Column("runtime, ms", right=True),
    Column("expected, ms", right=True, optional=2),
    Column("validation", least=6, flexible=True),
    Column("anagram counts", least=10, flexible=True, optional=1, shorten=cut_list),
)
_WORDS = (Column("word", least=10), Column("count", right=True))
_STAGES = (
    Column("stage"),
    Column("attempts", right=True),
    Column("failures", right=True),
    Column("mean, ms", right=True),
)
_TRIALS = (
    Column("pipeline"),
    Column("test case", least=5),
    Column("succeeded", right=True),
    Column("rate", right=True),
    Column("median, ms", right=True),
    Column("p95, ms", right=True),
)


def print_results(runs: Sequence[TextRun], stages: Stages) -> None:
    """Print the result of each text, and on a terminal also the faults."""
    if any(run.case is not None for run in runs):
        _print_cases(runs)
    else:
        for run in runs:
            _print_own(run, with_name=len(runs) > 1)
    if sys.stdout.isatty() and stages.faults is not None:
        out.print()
        rows = Rows(_STAGES)
        for stage, stats in stages.stats.items():
            mean_ms = 1000 * stats.seconds / stats.attempts if stats.attempts else 0.0
            rows.add(stage, f"{stats.attempts:,}", f"{stats.failures:,}", f"{mean_ms:.2f}")
        rows.flush()
        out.print(_describe(stages.faults.plan), markup=False)


def _print_cases(runs: Sequence[TextRun]) -> None:
    rows = Rows(_CASES)
    for run in runs:
        expected = "" if run.case is None else f"{run.case.expected_runtime_ms:g}"
        counts = " ".join(f"{word}={n}" for word, n in sorted(run.counts.items()))
        verdict = f"failed: {run.problem}" if run.problem else "passed"
        rows.add(run.name, f"{run.runtime_ms:.1f}", expected, verdict, counts)
    rows.flush()


def _print_own(run: TextRun, *, with_name: bool) -> None:
    """Print all counts of a text, the most frequent first."""
    if run.problem:
        out.print(f"{run.name} failed: {run.problem}", style="red", markup=False)
        return
    if with_name:
        out.print(run.name, style="bold", markup=False)
    rows = Rows(_WORDS)
    for word, n in sorted(run.counts.items(), key=lambda entry: (-entry[1], entry[0])):
        rows.add(word, str(n))
    rows.flush()
    if sys.stdout.isatty():
        out.print(f"{quantity(len(run.counts), 'dictionary word')} in {run.runtime_ms:.1f} ms")


def results_json(runs: Sequence[TextRun], stages: Stages) -> dict[str, object]:
    """Return the results and the statistics of each stage, for programs."""
    return {
        "passed": all(not run.problem for run in runs),
        "results": [run.as_json() for run in runs],
        "stages": {stage: asdict(stats) for stage, stats in stages.stats.items()},
        "faults": _faults_json(stages.faults),
    }


def print_trials(results: Sequence[Trials], plan: FaultPlan | None) -> None:
    """Print how many runs of each case succeeded, and how long they took."""
    rows = Rows(_TRIALS)
    for trials in results:
        rows.add(
            trials.pipeline,
            trials.case,
            f"{trials.successes:,} of {trials.runs:,}",
            f"{trials.successes / trials.runs:.1%}",
            _ms(trials.median_ms),
            _ms(trials.p95_ms),
        )
    rows.flush()
    if not sys.stdout.isatty():
        return
    for trials in results:
        for problem, n in trials.failures.most_common(FAILURES_SHOWN_MAX):
            out.print(f"{trials.pipeline}, {trials.case}: {problem}, {quantity(n, 'time')}", markup=False)
    if plan is not None:
        out.print(_describe(plan), markup=False)


def trials_json(results: Sequence[Trials], plan: FaultPlan | None) -> dict[str, object]:
    trials = [
        {
            "pipeline": one.pipeline,
            "test_case": one.case,
            "runs": one.runs,
            "successes": one.successes,
            "median_ms": one.median_ms,
            "p95_ms": one.p95_ms,
            "failures": dict(one.failures.most_common()),
        }
        for one in results
    ]
    return {"trials": trials, "faults": None if plan is None else plan.model_dump(mode="json")}


def _ms(runtime_ms: float | None) -> str:
    return "" if runtime_ms is None else f"{runtime_ms:.1f}"


def _describe(plan: FaultPlan) -> str:
    return f"injected faults: seed {plan.seed}, delays multiplied by {plan.scale:g}"


def _faults_json(faults: Faults | None) -> dict[str, object] | None:
    if faults is None:
        return None
    injected = [
        {"stage": stage, "kind": kind, "times": n} for (stage, kind), n in sorted(faults.injected.items())
    ]
    return {"plan": faults.plan.model_dump(mode="json"), "injected": injected}
