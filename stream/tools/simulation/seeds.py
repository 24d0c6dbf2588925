"""Runs many seeds, on all cores."""

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice

from stream.tools.simulation.anagram_workload import AnagramWorkload
from stream.tools.simulation.simulation import Scale, Simulation
from stream.tools.simulation.workload import MakeWorkload

CHUNK = 50  # seeds of one task
AHEAD = 3  # tasks submitted per process
FAILURES_MAX = 10  # the run stops after this number of failures; each is a defect


@dataclass(slots=True)
class Outcome:
    """The outcome of some seeds.

    Attributes:
        seeds: number of seeds that ran.
        seconds: simulated time.
        score: number of each event.
        failed: seed -> the broken promise, and the last events.
    """

    seeds: int = 0
    seconds: float = 0.0
    score: Counter[str] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)

    def add(self, other: "Outcome") -> None:
        """Add the outcome of other seeds."""
        self.seeds += other.seeds
        self.seconds += other.seconds
        self.score += other.score
        self.failed |= other.failed


def run_seed(
    seed: int, trace_lines: int | None = None, make_workload: MakeWorkload = AnagramWorkload
) -> tuple[Simulation, str]:
    """Run one seed; return the simulation, and the broken promise with the trace, or an empty string."""
    simulation = Simulation(seed, Scale.drawn(seed), make_workload=make_workload, trace_lines=trace_lines)
    try:
        simulation.run()
    except AssertionError as error:  # a Violation, or a call on a fake that no broker accepts
        return simulation, "\n".join([f"{type(error).__name__}: {error}", *error.__notes__])
    return simulation, ""


def run_seeds(seeds: Sequence[int], processes: int, on_progress: Callable[[Outcome], None]) -> Outcome:
    """Run seeds on several processes; stop early after too many failures."""
    so_far = Outcome()
    chunks = (seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        running = {pool.submit(_run_chunk, chunk) for chunk in islice(chunks, AHEAD * processes)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for task in done:
                so_far.add(task.result())
            on_progress(so_far)
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
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
