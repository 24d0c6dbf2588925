"""What `pipeline` shows: results, stages under faults, and many runs at a glance."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from stream.cli.app import out
from stream.cli.listing import Column, Rows, cut_list
from stream.exercise.faults import FaultPlan, Faults
from stream.exercise.stages import Stages
from stream.exercise.trials import Trials

if TYPE_CHECKING:
    from stream.cli.pipeline import Ran

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


def show_results(ran: "Sequence[Ran]", stages: Stages) -> None:
    """Show how each text fared; in a pipe the rows alone."""
    if any(one.case is not None for one in ran):
        _show_cases(ran)
    else:
        for one in ran:
            _show_own(one, alone=len(ran) == 1)
    if sys.stdout.isatty() and stages.faults is not None:
        out.print()
        rows = Rows(_STAGES)
        for stage, stats in stages.stats.items():
            mean_ms = 1000 * stats.seconds / stats.attempts if stats.attempts else 0.0
            rows.add(stage, f"{stats.attempts:,}", f"{stats.failures:,}", f"{mean_ms:.2f}")
        rows.flush()
        out.print(_said(stages.faults.plan), markup=False)


def _show_cases(ran: "Sequence[Ran]") -> None:
    rows = Rows(_CASES)
    for one in ran:
        expected = "" if one.case is None else f"{one.case.expected_runtime_ms:g}"
        counts = " ".join(f"{word}={n}" for word, n in sorted(one.counts.items()))
        verdict = f"failed: {one.problem}" if one.problem else "passed"
        rows.add(one.name, f"{one.runtime_ms:.1f}", expected, verdict, counts)
    rows.flush()


def _show_own(one: "Ran", *, alone: bool) -> None:
    """Show all counts of a text, the most frequent first."""
    if one.problem:
        out.print(f"{one.name} failed: {one.problem}", style="red", markup=False)
        return
    if not alone:
        out.print(one.name, style="bold", markup=False)
    rows = Rows(_WORDS)
    for word, n in sorted(one.counts.items(), key=lambda entry: (-entry[1], entry[0])):
        rows.add(word, str(n))
    rows.flush()
    if sys.stdout.isatty():
        out.print(f"{len(one.counts):,} dictionary words in {one.runtime_ms:.1f} ms")


def results_json(ran: Sequence[Mapping[str, object]], stages: Stages) -> dict[str, object]:
    """Return results, and what each stage did, for programs."""
    return {
        "passed": all(one["passed"] for one in ran),
        "results": list(ran),
        "stages": {stage: asdict(stats) for stage, stats in stages.stats.items()},
        "faults": _faults_json(stages.faults),
    }


def show_trials(found: Sequence[Trials], plan: FaultPlan | None) -> None:
    """Show how many runs of each case succeeded, and how long those took."""
    rows = Rows(_TRIALS)
    for trials in found:
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
    for trials in found:
        for what, n in trials.failures.most_common(FAILURES_SHOWN_MAX):
            out.print(f"{trials.pipeline}, {trials.case}: {n:,} times {what}", markup=False)
    if plan is not None:
        out.print(_said(plan), markup=False)


def trials_json(found: Sequence[Trials], plan: FaultPlan | None) -> dict[str, object]:
    """Return them for programs."""
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
        for one in found
    ]
    return {"trials": trials, "faults": None if plan is None else plan.model_dump(mode="json")}


def _ms(runtime_ms: float | None) -> str:
    return "" if runtime_ms is None else f"{runtime_ms:.1f}"


def _said(plan: FaultPlan) -> str:
    return f"faults on purpose: seed {plan.seed}, delays x {plan.scale:g}"


def _faults_json(faults: Faults | None) -> dict[str, object] | None:
    if faults is None:
        return None
    injected = [
        {"stage": stage, "kind": kind, "times": n} for (stage, kind), n in sorted(faults.injected.items())
    ]
    return {"plan": faults.plan.model_dump(mode="json"), "injected": injected}
