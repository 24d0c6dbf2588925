"""`simulate`: seeded storms of faults on a fake broker, by the thousand."""

import signal
from typing import Annotated, Any

import orjson
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stream.cli.app import err, out
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
    """Run the real worker on a fake Kafka in storms of faults, one per seed, without a broker.

    The loop, the restore and the retries of the worker are the real ones; time is virtual. A seed is a
    complete replay. Exit status 1 if a promise was broken.
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
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the child processes end, too
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
    rest = ", ".join(f"{n:,} {name}" for name, n in happened.items() if name not in calls)
    out.print(f"{figures['seeds']:,} seeds, {figures['simulated_hours']:,} simulated hours", markup=False)
    out.print(f"happened: {rest}", markup=False)
    out.print(f"faults at {len(calls)} moments of calls: {sum(calls.values()):,}", markup=False)
    for seed, broken in sorted(failed.items()):
        out.print(f"seed {seed} failed: {broken}", style="red", markup=False)
        out.print(f"replay it with: anagram-stream simulate --seed {seed}", markup=False)
    if not failed:
        out.print(f"[green]All {figures['seeds']:,} seeds passed.[/green]")
