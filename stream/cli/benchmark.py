"""`benchmark`: measures one orchestrator of the exercise on the test cases."""

from pathlib import Path
from typing import Annotated

import typer

from stream.cli.listing import Format

CASES_HELP = "Test cases, separated by commas: small, medium, large, edge, or all (except edge)."
FAULTS_HELP = "Injected failures and delays: none, original, or a JSON file."
SEED_HELP = "Seed for the faults; run k uses seed + k. By default the seed in the faults file, or 0."
TIMEOUT_HELP = "Time limit for one run, in seconds. A run that exceeds it fails and ends its case."
MEMORY_HELP = "Memory limit for an orchestrator and the processes that it starts, in MiB."
PLOT_HELP = "Also plot the figures to this PNG file."

Cases = Annotated[str, typer.Option("--test-case", help=CASES_HELP)]
Iterations = Annotated[int, typer.Option(min=1, max=100_000, help="Number of runs of each case.")]
Detailed = Annotated[bool, typer.Option("--detailed", help="Also show the figures of each stage.")]
Timeout = Annotated[float, typer.Option(min=0.1, help=TIMEOUT_HELP)]
Memory = Annotated[float, typer.Option("--memory-limit", min=64, help=MEMORY_HELP)]
FaultsOption = Annotated[str, typer.Option("--faults", help=FAULTS_HELP)]
Seed = Annotated[int | None, typer.Option(min=0, help=SEED_HELP)]
OutputFormat = Annotated[Format, typer.Option("--format", help="Output format.")]
Plot = Annotated[Path | None, typer.Option(help=PLOT_HELP)]

ORCHESTRATOR_HELP = "Python file with a class TaskOrchestrator, or pipeline or baseline from this package."


def benchmark(  # noqa: PLR0913 - a command's options
    *,
    test_case: Cases = "small",
    iterations: Iterations = 10,
    detailed: Detailed = False,
    orchestrator: Annotated[str, typer.Option(help=ORCHESTRATOR_HELP)] = "pipeline",
    timeout: Timeout = 60.0,
    memory_limit: Memory = 2048.0,
    faults: FaultsOption = "none",
    seed: Seed = None,
    output_format: OutputFormat = Format.TABLE,
    plot: Plot = None,
) -> None:
    """Measure one orchestrator of the exercise: success rate, runtime, throughput, memory and CPU time.

    The orchestrator runs in its own process. Its results are checked; a run with a wrong result fails and is
    not timed. Exit status 1 if a run failed without injected faults, or if the orchestrator did not start.
    """
    from stream.cli.benchmark_run import BenchmarkOptions, run_benchmark  # noqa: PLC0415
    from stream.exercise.benchmark.measure import find_orchestrator  # noqa: PLC0415 - slow to import

    options = BenchmarkOptions(test_case, iterations, faults, seed, timeout, memory_limit, plot)
    run_benchmark(
        options, lambda: [find_orchestrator(orchestrator)], output_format, detailed=detailed, compared=False
    )
