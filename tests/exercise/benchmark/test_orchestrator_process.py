from pathlib import Path

import psutil
import pytest

from stream.exercise.benchmark import orchestrator_process
from stream.exercise.benchmark.messages import CaseOrder, OrchestratorOrder
from stream.exercise.benchmark.orchestrator_process import Limits, OrchestratorFailed, OrchestratorProcess

LEAVES_A_PROCESS = """
import pathlib, subprocess, sys, time

class TaskOrchestrator:
    def __init__(self) -> None:
        started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        pathlib.Path(__file__).with_name("pid").write_text(str(started.pid))

    def process_text(self, text: str) -> object:
        time.sleep(600)
"""
CLEANS_UP = """
import atexit, pathlib, time

class TaskOrchestrator:
    def __init__(self) -> None:
        atexit.register(lambda: (time.sleep(0.3), pathlib.Path(__file__).with_name("cleaned").touch()))
        raise OSError("half made")
"""


def test_processes_of_an_orchestrator_stop_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orchestrator_process, "_BELOW_END_S_MAX", 0.1)
    path = tmp_path / "leaves.py"
    path.write_text(LEAVES_A_PROCESS)
    with OrchestratorProcess(OrchestratorOrder(orchestrator=str(path)), Limits(run_s=0.5)) as process:
        process.start()
        started = psutil.Process(int((tmp_path / "pid").read_text()))
        assert process._stats in started.parents()
        with pytest.raises(OrchestratorFailed, match=r"longer than 0\.5 s"):
            list(process.run(CaseOrder(text="cat", iterations=1, seed=0)))
        process.kill()
    started.wait(5)
    assert not started.is_running()


def test_exit_handlers_run_after_a_constructor_fails(tmp_path: Path) -> None:
    path = tmp_path / "half.py"
    path.write_text(CLEANS_UP)
    order = OrchestratorOrder(orchestrator=str(path))
    with (
        OrchestratorProcess(order, Limits()) as process,
        pytest.raises(OrchestratorFailed, match="half made"),
    ):
        process.start()
    assert (tmp_path / "cleaned").exists()


def test_package_of_the_same_name_in_the_current_folder_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stream").mkdir()
    (tmp_path / "stream/__init__.py").write_text("raise RuntimeError")
    monkeypatch.chdir(tmp_path)
    with OrchestratorProcess(OrchestratorOrder(orchestrator="pipeline"), Limits()) as process:
        process.start()
