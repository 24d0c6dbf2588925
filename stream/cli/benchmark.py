"""`benchmark`: one orchestrator on the test cases, measured."""

from pathlib import Path
from typing import Annotated

import typer

from stream.cli.listing import Format

CASES_HELP = "small, medium, large, edge or all (without edge); several with commas between."
FAULTS_HELP = "Failures and delays on purpose: none, original, or a JSON file."
SEED_HELP = "Of the faults: run k meets those of seed + k. By default that of their file, or 0."
TIMEOUT_HELP = "Seconds that one run of a case may take; then it has failed, and the case ends."
MEMORY_HELP = "MiB that an orchestrator may hold, with the processes that it starts."
PLOT_HELP = "Also draw the figures into this PNG."

Cases = Annotated[str, typer.Option("--test-case", help=CASES_HELP)]
Iterations = Annotated[int, typer.Option(min=1, max=100_000, help="Runs of each case.")]
Detailed = Annotated[bool, typer.Option("--detailed", help="Show each stage, too.")]
Timeout = Annotated[float, typer.Option(min=0.1, help=TIMEOUT_HELP)]
Memory = Annotated[float, typer.Option("--memory-limit", min=64, help=MEMORY_HELP)]
FaultsOption = Annotated[str, typer.Option("--faults", help=FAULTS_HELP)]
Seed = Annotated[int | None, typer.Option(min=0, help=SEED_HELP)]
Output = Annotated[Format, typer.Option("--format", help="What is printed at the end.")]
Plot = Annotated[Path | None, typer.Option(help=PLOT_HELP)]

ORCHESTRATOR_HELP = "A Python file with a TaskOrchestrator; or pipeline, or baseline, which come along."


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
    output: Output = Format.TABLE,
    plot: Plot = None,
) -> None:
    """Measure one orchestrator: success rate, runtime, throughput, memory, processor.

    It works in a process of its own. Its answers are validated: a wrong one is a failure, and not timed.
    Exit status 1 when a run failed without faults on, or the orchestrator could not be made.
    """
    from stream.cli.bench_run import Wanted, measure  # noqa: PLC0415
    from stream.exercise.benchmark.measure import named  # noqa: PLC0415 - slow to load, and workers do without

    wanted = Wanted(test_case, iterations, faults, seed, timeout, memory_limit, plot)
    measure(wanted, lambda: [named(orchestrator)], output, detailed=detailed, side_by_side=False)
