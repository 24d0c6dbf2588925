"""Many seeds, on all cores."""

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice

from stream.tools.simulation.simulation import Scale, Simulation

CHUNK = 50  # seeds of one task
AHEAD = 3  # tasks that wait, for each process
FAILURES_MAX = 10  # then it ends: each is a defect


@dataclass(slots=True)
class Outcome:
    """What seeds came to.

    Attributes:
        seeds: how many ran.
        seconds: that passed in them, on their own clocks.
        score: what happened how often.
        failed: seed -> what was broken, and the last that happened.
    """

    seeds: int = 0
    seconds: float = 0.0
    score: Counter[str] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)

    def add(self, other: "Outcome") -> None:
        """Add what other seeds came to."""
        self.seeds += other.seeds
        self.seconds += other.seconds
        self.score += other.score
        self.failed |= other.failed


def run_seed(seed: int, trace_lines: int | None = None) -> tuple[Simulation, str]:
    """Run one; return it, and what was broken, with the trace, or nothing."""
    simulation = Simulation(seed, Scale.drawn(seed), trace_lines=trace_lines)
    try:
        simulation.run()
    except AssertionError as error:  # a Violation, or a fake that was used as no broker can be
        return simulation, "\n".join([f"{type(error).__name__}: {error}", *error.__notes__])
    return simulation, ""


def run_seeds(seeds: Sequence[int], processes: int, tell: Callable[[Outcome], None]) -> Outcome:
    """Run them on so many processes; `tell` is called with what there is so far. Failures end it."""
    so_far = Outcome()
    chunks = (seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        running = {pool.submit(_run_chunk, chunk) for chunk in islice(chunks, AHEAD * processes)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for task in done:
                so_far.add(task.result())
            tell(so_far)
            if len(so_far.failed) < FAILURES_MAX:
                running |= {pool.submit(_run_chunk, chunk) for chunk in islice(chunks, len(done))}
    return so_far


def _run_chunk(seeds: Iterable[int]) -> Outcome:
    outcome = Outcome()
    for seed in seeds:
        simulation, broken = run_seed(seed, trace_lines=60)
        outcome.add(Outcome(1, simulation.seconds, Counter({str(k): n for k, n in simulation.score.items()})))
        if broken:
            outcome.failed[seed] = broken
    return outcome


def cores() -> int:
    """Return how many processes run at once here."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
