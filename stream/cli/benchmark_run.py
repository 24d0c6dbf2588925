"""Runs `benchmark` and `compare-benchmarks`: options, measurement, output, exit status."""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import typer

from stream.cli.app import err, out
from stream.cli.benchmark_view import ProgressBar, show_benchmark, show_comparison
from stream.cli.listing import Format
from stream.cli.shown import tables
from stream.errors import Misconfigured
from stream.exercise.benchmark.measure import Comparison, Orchestrator, compare
from stream.exercise.benchmark.messages import Conditions
from stream.exercise.benchmark.orchestrator_process import Limits
from stream.exercise.benchmark.report import as_json
from stream.exercise.cases import load_cases
from stream.exercise.faults import load_plan


@dataclass(frozen=True, slots=True)
class BenchmarkOptions:
    cases: str
    iterations: int
    faults: str
    seed: int | None
    timeout_s: float
    memory_mib: float
    plot: Path | None


def run_benchmark(
    options: BenchmarkOptions,
    find: Callable[[], Sequence[Orchestrator]],
    output_format: Format,
    *,
    detailed: bool,
    compared: bool,
) -> None:
    """Measure the orchestrators, print the figures, and exit with status 1 if one failed.

    Raises:
        Misconfigured: an option is wrong; nothing was measured.
    """
    plan = load_plan(options.faults)
    seed = options.seed if options.seed is not None else plan.seed if plan else 0
    cases, orchestrators = load_cases(options.cases), find()
    draw = None if options.plot is None else _make_draw(options.plot)
    conditions = Conditions(options.iterations, options.faults, seed)
    limits = Limits(options.timeout_s, memory_mib=options.memory_mib)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: stops all processes
    with ProgressBar(len(orchestrators) * len(cases) * options.iterations) as progress:
        comparison = compare(orchestrators, cases, conditions, limits, progress.update)
    if output_format is Format.JSON:
        out.print(orjson.dumps(as_json(comparison)).decode(), markup=False)
    else:
        (show_comparison if compared else show_benchmark)(comparison, tables(), detailed=detailed)
    if draw is not None and comparison.measured:
        draw(comparison)
        err.print(f"plot written to {options.plot}", markup=False)
    if _has_failed(comparison):
        raise typer.Exit(1)


def _has_failed(comparison: Comparison) -> bool:
    """Whether something failed; with injected faults, failed runs are a result, not a failure."""
    failed = any(row.problems for row in comparison.measured)
    return bool(comparison.unusable) or (failed and not comparison.has_faults)


def _make_draw(path: Path) -> Callable[[Comparison], None]:
    """Return the function that draws, before anything is measured.

    Raises:
        Misconfigured: matplotlib is not installed, or the file cannot be written.
    """
    if not path.parent.is_dir() or path.is_dir():
        raise Misconfigured(f"--plot: cannot write {path}", "give a file in an existing folder")
    try:
        from stream.exercise.benchmark.plot import draw  # noqa: PLC0415 - an optional dependency
    except ModuleNotFoundError as error:
        raise Misconfigured(f"--plot needs {error.name}", "pip install 'anagram-stream[plots]'") from error
    return lambda comparison: draw(comparison, path)
