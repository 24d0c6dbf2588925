from pathlib import Path

import psutil
import pytest

from stream.exercise.benchmark import isolated
from stream.exercise.benchmark.isolated import Broken, Isolated, Limits
from stream.exercise.benchmark.messages import Job, Order

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


def test_what_a_contestant_started_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "_BELOW_END_S_MAX", 0.1)
    path = tmp_path / "leaves.py"
    path.write_text(LEAVES_A_PROCESS)
    with Isolated(Job(str(path)), Limits(run_s=0.5)) as process:
        process.start()
        started = psutil.Process(int((tmp_path / "pid").read_text()))
        assert process._seen in started.parents()
        with pytest.raises(Broken, match=r"longer than 0\.5 s"):
            list(process.run(Order("cat", 1, 0)))
        process.kill()
    started.wait(5)
    assert not started.is_running()


def test_who_could_not_be_made_may_clean_up(tmp_path: Path) -> None:
    path = tmp_path / "half.py"
    path.write_text(CLEANS_UP)
    with Isolated(Job(str(path)), Limits()) as process, pytest.raises(Broken, match="half made"):
        process.start()
    assert (tmp_path / "cleaned").exists()


def test_package_of_that_name_in_the_current_folder_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stream").mkdir()
    (tmp_path / "stream/__init__.py").write_text("raise RuntimeError")
    monkeypatch.chdir(tmp_path)
    with Isolated(Job("pipeline"), Limits()) as process:
        process.start()
