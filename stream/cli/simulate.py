"""`simulate`: runs the worker on a fake broker under thousands of seeded fault sequences."""

import signal
from typing import Annotated, Any

import orjson
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stream.cli.app import err, out, quantity
from stream.cli.listing import Format

HOUR_S = 3600


def simulate(
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds, starting with --first.")] = 1_000,
    first: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Run only this seed, and print every event.")
    ] = None,
    processes: Annotated[int, typer.Option(min=0, help="Number of processes; 0: one per core.")] = 0,
    output_format: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.TABLE,
) -> None:
    """Run the real worker under random faults on a fake Kafka, without a broker; one run per seed.

    The loop, the restore and the retries of the worker are the real code; time is virtual. The same seed
    always gives the same run. Exit status 1 if a guarantee was broken.
    """
    from stream.tools.simulation.seeds import Outcome, cores, run_seed, run_seeds  # noqa: PLC0415 - slow to load

    if seed is not None:
        simulation, broken = run_seed(seed)
        out.print("\n".join(simulation.trace), markup=False)
        if broken:
            out.print(broken.partition("\n")[0], style="bold red", markup=False)
            raise typer.Exit(1)
        out.print(f"seed {seed} passed, {simulation.seconds:.0f} simulated seconds", markup=False)
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: also stops the child processes
    columns = (TextColumn("seeds"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("", total=seeds)

        def on_progress(so_far: Outcome) -> None:
            progress.update(task, completed=so_far.seeds)

        outcome = run_seeds(range(first, first + seeds), processes or cores(), on_progress)
    figures = {
        "seeds": outcome.seeds,
        "simulated_hours": round(outcome.seconds / HOUR_S, 1),
        "failed": sorted(outcome.failed),
        "happened": dict(outcome.score.most_common()),
    }
    if output_format is Format.JSON:
        out.print(orjson.dumps(figures).decode(), markup=False)
    else:
        _show(figures, outcome.failed)
    if outcome.failed:
        raise typer.Exit(1)


def _show(figures: dict[str, Any], failed: dict[int, str]) -> None:
    happened = figures["happened"]
    calls = {name: n for name, n in happened.items() if name.startswith(("before ", "after "))}
    rest = ", ".join(f"{name} {n:,}" for name, n in happened.items() if name not in calls)
    seeds = quantity(figures["seeds"], "seed")
    out.print(f"{seeds}, {figures['simulated_hours']:,} simulated hours", markup=False)
    out.print(f"events: {rest}", markup=False)
    faults, points = quantity(sum(calls.values()), "fault"), quantity(len(calls), "point")
    out.print(f"{faults} at {points} before or after a call", markup=False)
    for seed, broken in sorted(failed.items()):
        out.print(f"seed {seed} failed: {broken}", style="red", markup=False)
        out.print(f"to replay it, run: anagram-stream simulate --seed {seed}", markup=False)
    if not failed:
        out.print(f"[green]{'The seed' if figures['seeds'] == 1 else f'All {seeds}'} passed.[/green]")
