"""Runs texts through the pipeline, one after the other, and checks their counts."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from stream.errors import StreamError
from stream.exercise.cases import Case
from stream.exercise.orchestrator import TaskOrchestrator
from stream.exercise.stages import Stages


@dataclass(frozen=True, slots=True)
class TextRun:
    """The run of one text.

    Attributes:
        case: the test case with the expected counts; None for a user's text.
        problem: why the run failed; empty if it succeeded.
    """

    name: str
    case: Case | None
    runtime_ms: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    problem: str = ""

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "group": None if self.case is None else self.case.group,
            "runtime_ms": round(self.runtime_ms, 3),
            "expected_runtime_ms": None if self.case is None else self.case.expected_runtime_ms,
            "passed": not self.problem,
            "problem": self.problem or None,
            "anagram_counts": self.counts,
        }


def run_texts(
    texts: Iterable[tuple[str, str, Case | None]], stages: Stages, on_progress: Callable[[], None]
) -> list[TextRun]:
    """Run each (name, text, test case); `on_progress` is called after each run."""
    runs, orchestrator = [], TaskOrchestrator(stages)
    for name, text, case in texts:
        runs.append(_run(orchestrator, name, text, case))
        on_progress()
    return runs


def _run(orchestrator: TaskOrchestrator, name: str, text: str, case: Case | None) -> TextRun:
    try:
        result = orchestrator.process_text(text)
    except StreamError as error:
        return TextRun(name, case, problem=str(error))
    counts = result["anagram_counts"]
    wrong = "" if case is None else case.differences(counts)
    return TextRun(name, case, result["runtime"], counts, wrong and f"wrong counts: {wrong}")
