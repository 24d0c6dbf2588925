from pathlib import Path

import pytest

from stream.exercise.benchmark.loading import Unusable, orchestrator_class


@pytest.mark.parametrize(
    "text",
    [
        "class TaskOrchestrator: ...",
        "class Own: ...\nTaskOrchestrator = Own",
        "from stream.exercise.orchestrator import TaskOrchestrator",
        "from stream.exercise.orchestrator import *",
        "from collections import Counter as TaskOrchestrator",
        "try:\n    class TaskOrchestrator: ...\nexcept OSError: ...",
    ],
)
def test_class_is_found_whether_defined_imported_or_assigned(text: str, tmp_path: Path) -> None:
    path = tmp_path / "some.py"
    path.write_text(text)
    assert callable(orchestrator_class(str(path)))


@pytest.mark.parametrize(
    "text",
    ["raise OSError", "raise OSError('TaskOrchestrator')", "print(TaskOrchestrator)", "TaskOrchestrator = 1"],
)
def test_file_without_the_class_is_not_executed(text: str, tmp_path: Path) -> None:
    path = tmp_path / "some.py"
    path.write_text(text)
    with pytest.raises(Unusable):
        orchestrator_class(str(path))
