"""What `benchmark` and `compare-benchmarks` share: from options to what is shown, and the exit status."""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import typer

from stream.cli.app import err, out
from stream.cli.bench_view import Board, show_benchmark, show_comparison
from stream.cli.listing import Format
from stream.cli.shown import tables
from stream.errors import Misconfigured
from stream.exercise.benchmark.isolated import Limits
from stream.exercise.benchmark.measure import Comparison, Contestant, compare
from stream.exercise.benchmark.messages import Conditions
from stream.exercise.benchmark.report import as_json
from stream.exercise.cases import load_cases
from stream.exercise.faults import load_plan


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options."""

    cases: str
    iterations: int
    faults: str
    seed: int | None
    timeout_s: float
    memory_mib: float
    plot: Path | None


def measure(
    wanted: Wanted,
    choose: Callable[[], Sequence[Contestant]],
    output: Format,
    *,
    detailed: bool,
    side_by_side: bool,
) -> None:
    """Measure who was chosen, show the figures, and fail where something did.

    Raises:
        Misconfigured: an option is not right; nothing was measured.
    """
    plan = load_plan(wanted.faults)
    seed = wanted.seed if wanted.seed is not None else plan.seed if plan else 0
    cases, contestants = load_cases(wanted.cases), choose()
    draw = None if wanted.plot is None else _drawing(wanted.plot)
    conditions = Conditions(wanted.iterations, wanted.faults, seed)
    limits = Limits(wanted.timeout_s, memory_mib=wanted.memory_mib)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was started is ended
    with Board(len(contestants) * len(cases) * wanted.iterations) as board:
        found = compare(contestants, cases, conditions, limits, board.tell)
    if output is Format.JSON:
        out.print(orjson.dumps(as_json(found)).decode(), markup=False)
    else:
        (show_comparison if side_by_side else show_benchmark)(found, tables(), detailed=detailed)
    if draw is not None and found.measured:
        draw(found)
        err.print(f"drawn: {wanted.plot}", markup=False)
    if _is_broken(found):
        raise typer.Exit(1)


def _is_broken(found: Comparison) -> bool:
    """Under faults a failing run is what is measured; without them it is a fault."""
    failed = any(row.problems for row in found.measured)
    return bool(found.unusable) or (failed and not found.has_faults)


def _drawing(path: Path) -> Callable[[Comparison], None]:
    """Return what draws, before anything is measured.

    Raises:
        Misconfigured: it is not installed, or could not write there.
    """
    if not path.parent.is_dir() or path.is_dir():
        raise Misconfigured(f"--plot: cannot write {path}", "name a file in a folder that is there")
    try:
        from stream.exercise.benchmark.plot import draw  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise Misconfigured(f"--plot needs {error.name}", "pip install 'anagram-stream[plots]'") from error
    return lambda found: draw(found, path)
