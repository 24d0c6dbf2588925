import ast
import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest

from stream.exercise import stages
from stream.exercise.benchmark.loading import orchestrator_class
from stream.exercise.benchmark.measure import Orchestrator, compare, orchestrators_in
from stream.exercise.benchmark.messages import BASELINE, Conditions
from stream.exercise.benchmark.orchestrator_process import Limits
from stream.exercise.cases import load_cases
from stream.exercise.faults import FaultPlan, Faults, Stage, StageFault
from stream.exercise.stages import Stages

FOLDER = Path(__file__).parents[3] / "benchmark_orchestrators"
THROUGH_KAFKA = FOLDER / "through_kafka.py"
FILES = sorted(path for path in FOLDER.glob("*.py") if path != THROUGH_KAFKA)
FAILING = FaultPlan(
    stages={
        stage: StageFault(rate=0.3) for stage in (Stage.FILTER_INPUT, Stage.GET_WORDS, Stage.FIND_ANAGRAMS)
    }
)


def result_of(orchestrator: Any, text: object) -> Any:
    result = orchestrator.process_text(text)
    return asyncio.run(result) if inspect.iscoroutine(result) else result


@pytest.fixture(params=[str(path) for path in FILES] + [BASELINE], ids=lambda source: Path(source).stem)
def orchestrator(request: pytest.FixtureRequest) -> Any:
    return orchestrator_class(request.param)()


def test_orchestrator_is_right_on_every_case(orchestrator: Any) -> None:
    for case in load_cases("small,medium,edge"):
        result = result_of(orchestrator, case.text)
        assert not case.differences(result["anagram_counts"]), case.name
        assert isinstance(result["runtime"], float)


def test_value_that_is_not_a_text_is_a_value_error(orchestrator: Any) -> None:
    for wrong in (None, 1, b"cat", ["cat"]):
        with pytest.raises(ValueError, match="str"):
            result_of(orchestrator, wrong)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_orchestrator_is_right_when_stages_fail(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "WAIT_S_MAX", 0.0)
    orchestrator = orchestrator_class(str(path))()
    (case,) = load_cases("small")
    try:
        for seed in range(10):
            stages.use(Stages(faults=Faults(FAILING, seed)))
            assert not case.differences(result_of(orchestrator, case.text)["anagram_counts"])
    finally:
        stages.use(None)


@pytest.mark.parametrize("path", [*FILES, THROUGH_KAFKA], ids=lambda path: path.stem)
def test_docstring_states_what_the_orchestrator_shows(path: Path) -> None:
    assert "What it shows: " in (ast.get_docstring(ast.parse(path.read_text())) or "")


def test_folder_has_at_least_five_orchestrators() -> None:
    assert len(orchestrators_in(FOLDER)) >= 6


@pytest.mark.broker
@pytest.mark.embedded
def test_text_goes_through_kafka_and_the_worker() -> None:
    chosen = [Orchestrator("through_kafka", str(THROUGH_KAFKA))]
    comparison = compare(chosen, load_cases("small,edge"), Conditions(2), Limits(), lambda *_: None)
    assert not comparison.unusable
    assert [row.problems for row in comparison.measured if row.problems] == []
    assert comparison.measured[0].peak_mib is not None
    assert comparison.measured[0].peak_mib > 200  # Kafka's JVM is counted
