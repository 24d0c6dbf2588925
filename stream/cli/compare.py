"""`compare-benchmarks`: orchestrators side by side."""

from pathlib import Path
from typing import Annotated

import typer

from stream.cli.benchmark import (
    Cases,
    Detailed,
    FaultsOption,
    Iterations,
    Memory,
    Output,
    Plot,
    Seed,
    Timeout,
)
from stream.cli.listing import Format

FOLDER_HELP = "Every Python file in it with a class TaskOrchestrator is measured, and the baseline with them."


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
    output: Output = Format.TABLE,
    plot: Plot = None,
) -> None:
    """Measure all orchestrators of a folder on the same cases with the same seeds, the best values in green.

    Each works in a process of its own: whatever one does costs its own row alone. Exit status 1 when a file
    could not be measured, or a run failed without faults on.
    """
    from stream.cli.bench_run import Wanted, measure  # noqa: PLC0415
    from stream.exercise.benchmark.measure import contestants_in  # noqa: PLC0415 - slow to load, and workers do without

    wanted = Wanted(test_case, iterations, faults, seed, timeout, memory_limit, plot)
    measure(wanted, lambda: contestants_in(compare_dir), output, detailed=detailed, side_by_side=True)
