"""`compare-benchmarks`: measures several orchestrators of the exercise and compares them."""

from pathlib import Path
from typing import Annotated

import typer

from stream.cli.benchmark import (
    Cases,
    Detailed,
    FaultsOption,
    Iterations,
    Memory,
    OutputFormat,
    Plot,
    Seed,
    Timeout,
)
from stream.cli.listing import Format

FOLDER_HELP = "Folder of Python files. Measures each class TaskOrchestrator in them, and the baseline."


def compare_benchmarks(  # noqa: PLR0913 - a command's options
    *,
    compare_dir: Annotated[Path, typer.Option(help=FOLDER_HELP)],
    test_case: Cases = "small",
    iterations: Iterations = 3,
    detailed: Detailed = False,
    timeout: Timeout = 60.0,
    memory_limit: Memory = 2048.0,
    faults: FaultsOption = "none",
    seed: Seed = None,
    output_format: OutputFormat = Format.TABLE,
    plot: Plot = None,
) -> None:
    """Measure all orchestrators in a folder on the same cases and seeds, and highlight the best values.

    Each orchestrator runs in its own process. A crash, timeout, memory overrun or `sys.exit` fails only that
    orchestrator. Exit status 1 if a file could not be measured, or if a run failed without injected faults.
    """
    from stream.cli.benchmark_run import BenchmarkOptions, run_benchmark  # noqa: PLC0415
    from stream.exercise.benchmark.measure import orchestrators_in  # noqa: PLC0415 - slow to import

    options = BenchmarkOptions(test_case, iterations, faults, seed, timeout, memory_limit, plot)
    run_benchmark(
        options, lambda: orchestrators_in(compare_dir), output_format, detailed=detailed, compared=True
    )
