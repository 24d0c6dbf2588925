import shutil
from pathlib import Path

import pytest

from stream.exercise.benchmark.figures import best_of
from stream.exercise.benchmark.measure import Comparison, Measured, compare, orchestrators_in
from stream.exercise.benchmark.messages import Conditions
from stream.exercise.benchmark.orchestrator_process import Limits
from stream.exercise.cases import load_cases

EMPTY_CLASS = "class TaskOrchestrator: ...\n"
HOSTILE = Path(__file__).parent / "hostile"
RUNS = 2
LIMITS = Limits(run_s=2, start_s=20, memory_mib=400)
RIGHT = {"baseline", "awaited", "printing_garbage", "flattering_itself"}


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("hostile")
    shutil.copytree(HOSTILE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "syntax_error.py").write_text(
        "class TaskOrchestrator:\n    def process_text(self, text) return\n"
    )
    (folder / "missing_import.py").write_text(f"import no_such_package_of_anybody\n{EMPTY_CLASS}")
    (folder / "exiting_on_import.py").write_text(f"raise SystemExit('gone')\n{EMPTY_CLASS}")
    (folder / "any_script.py").write_text(f"open({str(folder / 'traces')!r}, 'w')\n")
    (folder / "readme.txt").write_text("no Python file")
    measured = compare(
        orchestrators_in(folder), load_cases("small"), Conditions(RUNS), LIMITS, lambda *_: None
    )
    assert not (folder / "traces").exists()  # a file without the class is not executed
    return measured


@pytest.fixture(scope="module")
def rows(comparison: Comparison) -> dict[str, Measured]:
    return {row.orchestrator: row for row in comparison.measured}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("syntax_error", "SyntaxError: expected ':', line 2"),
        ("missing_import", "ModuleNotFoundError: No module named 'no_such_package_of_anybody'"),
        ("exiting_on_import", "it called sys.exit('gone')"),
        ("any_script", "it has no class TaskOrchestrator"),
        ("no_class", "it has no class TaskOrchestrator"),
        ("raising_constructor", "OSError: no such thing as that"),
    ],
)
def test_file_without_an_orchestrator_is_named_with_its_error(
    name: str, why: str, comparison: Comparison
) -> None:
    assert comparison.unusable[name] == why
    assert len(comparison.unusable) == 6


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("wrong_counts", "2 of 2 runs: wrong counts: act: 0 instead of 1; cat: 99 instead of 1; "),
        ("wrong_shape", "2 of 2 runs: it returned ['The cat sat"),
        ("failing", "2 of 2 runs: ZeroDivisionError: at once"),
        ("hanging", "run 1 of 2: it took longer than 2 s for a run; 1 run skipped"),
        ("exiting", "2 of 2 runs: it called sys.exit(3)"),
        (
            "exiting_at_once",
            "run 1 of 2: its process exited with status 4: the last line of its output; 1 run",
        ),
        ("crashing", "run 1 of 2: its process was killed by SIGSEGV; 1 run"),
        ("eating_memory", "run 1 of 2: it used more than 400 MiB of memory; 1 run"),
        ("silencing", "run 1 of 2: it closed the socket of the benchmark; 1 run"),
    ],
)
def test_failed_run_affects_only_its_own_row_and_is_not_timed(
    name: str, problem: str, rows: dict[str, Measured]
) -> None:
    row = rows[name]
    assert row.problems[0].startswith(problem)
    assert len(row.problems) == 1
    assert (row.success_rate, row.runtime_ms, row.words_per_s) == (0.0, None, None)


def test_right_orchestrators_among_them_are_measured(rows: dict[str, Measured]) -> None:
    assert {name for name, row in rows.items() if row.success_rate == 1.0} == RIGHT
    for name in RIGHT:
        row = rows[name]
        assert not row.problems
        assert row.runtime_ms is not None
        assert row.runtime_ms.n == RUNS
        assert row.words_per_s is not None
        assert row.peak_mib is not None
        assert 20 < row.peak_mib < LIMITS.memory_mib
        assert row.growth_mib is not None
        assert row.cpu_percent is not None
        assert row.stages["get_words"].successes == RUNS


def test_runtime_is_measured_by_the_benchmark(rows: dict[str, Measured]) -> None:
    summary = rows["flattering_itself"].runtime_ms
    assert summary is not None
    assert summary.mean > 50


def test_best_orchestrator_is_a_right_one(comparison: Comparison) -> None:
    best = best_of(comparison.measured)
    assert best["success_rate"] == RIGHT
    assert {name for names in best.values() for name in names} <= RIGHT
    assert "cpu_percent" not in best
