import pytest

from stream.exercise.benchmark.figures import METRICS, best_of, formatted, significant
from stream.exercise.benchmark.measure import Measured, Run
from stream.exercise.benchmark.messages import StageFigures
from stream.exercise.cases import Case

CASE = Case("small", "small", "cat cat", {"act": 2, "cat": 2, "tac": 2}, 1.0)
BY_NAME = {metric.name: metric for metric in METRICS}


def row(name: str, *runtimes_ms: float, failed: int = 0, growth_mib: float = 1.0) -> Measured:
    runs = [Run(ms, ms / 2000, 80.0) for ms in runtimes_ms]
    runs += [Run(0.001, 0.0, 10.0, "wrong counts") for _ in range(failed)]
    return Measured(name, CASE, 2, len(runs), runs, growth_mib=growth_mib)


def test_figures_are_those_of_the_successful_runs() -> None:
    measured = row("a", 10, 30, failed=2)
    assert {name: formatted(metric, measured) for name, metric in BY_NAME.items()} == {
        "success_rate": "50 %",
        "runtime_mean_ms": "20.0",
        "runtime_ci95_ms": "127",
        "runtime_median_ms": "20.0",
        "runtime_p95_ms": "29.0",
        "words_per_s": "100",
        "memory_peak_mib": "80.0",
        "memory_growth_mib": "1.0",
        "cpu_percent": "50 %",
    }


def test_orchestrator_without_success_has_no_figures() -> None:
    measured = row("a", failed=3)
    assert formatted(BY_NAME["success_rate"], measured) == "0 %"
    assert {
        formatted(BY_NAME[name], measured) for name in ("runtime_mean_ms", "words_per_s", "cpu_percent")
    } == {"-"}


def test_best_is_the_fastest_of_those_with_the_highest_success_rate() -> None:
    best = best_of([row("right", 50, 50), row("sometimes", 1, failed=1), row("never", failed=2)])
    assert best["success_rate"] == best["runtime_mean_ms"] == best["words_per_s"] == {"right"}


def test_values_that_are_formatted_alike_are_all_best() -> None:
    best = best_of([row("a", 10.001), row("b", 10.002), row("c", 10.4)])
    assert best["runtime_mean_ms"] == {"a", "b"}
    assert best["memory_peak_mib"] == {"a", "b", "c"}


def test_less_is_better_for_memory_even_below_zero() -> None:
    best = best_of([row("a", 10, growth_mib=-3.0), row("b", 10, growth_mib=0.0)])
    assert best["memory_growth_mib"] == {"a"}


@pytest.mark.parametrize("rows", [[row("alone", 10)], [row("a", failed=1), row("b", failed=1)], []])
def test_no_row_is_best_alone_or_without_success(rows: list[Measured]) -> None:
    assert not best_of(rows)


def test_orchestrator_that_called_no_stage_is_not_compared_under_faults() -> None:
    called = row("called", 50)
    called.stages = {"get_words": StageFigures(attempts=1, successes=1)}
    rows = [called, row("avoided", 1)]
    assert best_of(rows, faults=True)["runtime_mean_ms"] == {"called"}
    assert best_of(rows)["runtime_mean_ms"] == {"avoided"}


def test_processor_time_and_interval_have_no_best_value() -> None:
    assert not {"cpu_percent", "runtime_ci95_ms"} & best_of([row("a", 1, 2), row("b", 1, 3)]).keys()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.01234, "0.012"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (1234567.8, "1,234,568")],
)
def test_numbers_have_three_significant_digits(value: float, text: str) -> None:
    assert significant(value) == text
