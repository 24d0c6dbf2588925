import ast
import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest

from stream.exercise import stages
from stream.exercise.benchmark.isolated import Limits
from stream.exercise.benchmark.loading import orchestrator_class
from stream.exercise.benchmark.measure import Contestant, compare, contestants_in
from stream.exercise.benchmark.messages import BASELINE, Conditions
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


def answer(orchestrator: Any, text: object) -> Any:
    found = orchestrator.process_text(text)
    return asyncio.run(found) if inspect.iscoroutine(found) else found


@pytest.fixture(params=[str(path) for path in FILES] + [BASELINE], ids=lambda source: Path(source).stem)
def orchestrator(request: pytest.FixtureRequest) -> Any:
    return orchestrator_class(request.param)()


def test_orchestrator_is_right_on_every_case(orchestrator: Any) -> None:
    for case in load_cases("small,medium,edge"):
        found = answer(orchestrator, case.text)
        assert not case.differences(found["anagram_counts"]), case.name
        assert isinstance(found["runtime"], float)


def test_what_is_no_text_is_a_value_error(orchestrator: Any) -> None:
    for wrong in (None, 1, b"cat", ["cat"]):
        with pytest.raises(ValueError, match="str"):
            answer(orchestrator, wrong)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_orchestrator_is_right_where_stages_fail(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "WAIT_S_MAX", 0.0)
    orchestrator = orchestrator_class(str(path))()
    (case,) = load_cases("small")
    try:
        for seed in range(10):
            stages.use(Stages(faults=Faults(FAILING, seed)))
            assert not case.differences(answer(orchestrator, case.text)["anagram_counts"])
    finally:
        stages.use(None)


@pytest.mark.parametrize("path", [*FILES, THROUGH_KAFKA], ids=lambda path: path.stem)
def test_orchestrator_says_what_it_shows(path: Path) -> None:
    assert "What it shows: " in (ast.get_docstring(ast.parse(path.read_text())) or "")


def test_folder_has_at_least_five() -> None:
    assert len(contestants_in(FOLDER)) >= 6


@pytest.mark.broker
@pytest.mark.embedded
def test_text_goes_through_kafka_and_the_worker() -> None:
    chosen = [Contestant("through_kafka", str(THROUGH_KAFKA))]
    found = compare(chosen, load_cases("small,edge"), Conditions(2), Limits(), lambda *_: None)
    assert not found.unusable
    assert [row.problems for row in found.measured if row.problems] == []
    assert found.measured[0].peak_mib is not None
    assert found.measured[0].peak_mib > 200  # Kafka's Java is counted
