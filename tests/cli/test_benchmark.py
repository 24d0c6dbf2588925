import json
import sys
from pathlib import Path

import pytest
from cli.running import Cli
from rich.console import Console

from stream.cli.benchmark_view import show_benchmark, show_comparison
from stream.exercise.benchmark.measure import Comparison, Measured, Run
from stream.exercise.benchmark.messages import Conditions, StageFigures
from stream.exercise.cases import Case

CASE = Case("small", "small", "cat", {"act": 1, "cat": 1, "tac": 1}, 1.0)
RIGHT = "from stream.exercise.orchestrator import TaskOrchestrator as TaskOrchestrator\n"
WRONG = """
class TaskOrchestrator:
    def process_text(self, text: str) -> object:
        return {"runtime": 0, "anagram_counts": {}}
"""


@pytest.mark.parametrize(
    ("args", "complaint", "hint"),
    [
        (("benchmark", "--test-case", "huge"), "huge", "small"),
        (("benchmark", "--iterations", "0"), "--iterations", ""),
        (("benchmark", "--timeout", "0"), "--timeout", ""),
        (("benchmark", "--format", "xml"), "xml", ""),
        (("benchmark", "--orchestrator", "none.py"), "no such file: none.py", "TaskOrchestrator"),
        (("benchmark", "--faults", "none.json"), "none.json", "original"),
        (("benchmark", "--plot", "nowhere/x.png"), "cannot write nowhere/x.png", "folder"),
        (("compare-benchmarks",), "--compare-dir", ""),
        (("compare-benchmarks", "--compare-dir", "nowhere"), "folder: nowhere", "benchmark_orchestrators"),
        (("compare-benchmarks", "--compare-dir", "words"), "no Python files in words", "TaskOrchestrator"),
        (("compare-benchmarks", "--compare-dir", "words", "--test-case", "small,x"), "x", "small"),
    ],
    ids=str,
)
def test_wrong_usage_is_one_error_before_anything_is_measured(
    args: tuple[str, ...], complaint: str, hint: str, cli: Cli
) -> None:
    done = cli(*args)
    assert done.status == 2
    assert not done.out
    assert complaint in done.err
    assert hint in done.err


def test_benchmark_prints_all_figures_as_json(cli: Cli) -> None:
    done = cli("benchmark", "--iterations", "3", "--format", "json", "--seed", "5")
    output = json.loads(done.out)
    assert (done.status, done.err) == (0, "")
    assert output["conditions"] == {"iterations": 3, "faults": "none", "seed": 5}
    measured = output["cases"]["small"]["orchestrators"]["pipeline"]
    assert measured["success_rate"] == 100
    assert len(measured["runs"]) == 3
    assert measured["runtime_median_ms"] == sorted(run["runtime_ms"] for run in measured["runs"])[1]
    assert measured["stages"]["get_words"]["successes"] == 3


def test_failed_runs_under_faults_are_a_measurement(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"stages": {"get_words": {"rate": 1}}, "seed": 3}')
    done = cli("benchmark", "--orchestrator", "baseline", "--iterations", "2", "--faults", "plan.json")
    assert done.status == 0
    assert "seed 3" in done.lines[0]
    assert "! small: 2 of 2 runs: StageFailed: get_words" in done.out


def test_comparison_marks_the_best_draws_a_plot_and_fails_if_an_orchestrator_is_wrong(
    cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/right.py").write_text(RIGHT)
    (tmp_path / "mine/wrong.py").write_text(WRONG)
    (tmp_path / "mine/broken.py").write_text("raise\nclass TaskOrchestrator: ...")
    done = cli("compare-benchmarks", "--compare-dir", "mine", "--iterations", "2", "--plot", "mine/all.png")
    assert done.status == 1
    rows = {line.split()[0]: line for line in done.lines if line}
    assert "100 %*" in rows["right"]
    assert "*" not in rows["wrong"]
    assert "! wrong: 2 of 2 runs: wrong counts: act: 0 instead of 1;" in done.out
    assert "not measured: broken: RuntimeError: No active exception to reraise" in done.out
    assert (tmp_path / "mine/all.png").read_bytes().startswith(b"\x89PNG")


def test_plot_without_matplotlib_names_the_package_to_install(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "stream.exercise.benchmark.plot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = cli("benchmark", "--plot", "x.png")
    assert done.status == 2
    assert "--plot needs matplotlib" in done.err
    assert "pip install 'anagram-stream[plots]'" in done.err


def measured(name: str, runtime_ms: float) -> Measured:
    stages = {"get_words": StageFigures(attempts=4, successes=2, failures=2, seconds=0.01)}
    return Measured(name, CASE, 1, 2, [Run(runtime_ms, 0.001, 80.0)] * 2, growth_mib=0.0, stages=stages)


def drawn(*, width: int = 200, no_color: bool = False, terminal: bool = True, rows: int = 2) -> str:
    comparison = Comparison(Conditions(2), [measured(f"m{n}", 10.0 * n) for n in range(1, rows + 1)])
    console = Console(
        width=width, force_terminal=terminal, no_color=no_color, color_system="standard", highlight=False
    )
    with console.capture() as capture:
        (show_comparison if rows > 1 else show_benchmark)(comparison, console, detailed=True)
    return capture.get()


def test_best_value_is_green_on_a_terminal_and_marked_without_colors() -> None:
    assert "\x1b[1;32m10.0\x1b[0m" in drawn()
    assert "10.0*" not in drawn()
    plain = drawn(no_color=True)
    assert "10.0*" in plain
    assert "32m" not in plain


def test_narrow_terminal_shows_two_tables_without_cutting_figures() -> None:
    wide, narrow = drawn(no_color=True).split("\n"), drawn(no_color=True, width=80).split("\n")
    assert "…" not in "\n".join(narrow)
    assert len(narrow) > len(wide)
    for title in ("success", "p95", "words/s", "growth MiB", "CPU"):
        assert title in "\n".join(narrow)


def test_stages_are_shown_in_detail() -> None:
    (line,) = [line for line in drawn(no_color=True, rows=1).split("\n") if "get_words" in line]
    assert line.split()[-6:] == ["4", "2", "2", "50", "%", "2.50"]
