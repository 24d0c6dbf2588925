"""The commit protocol in storms of faults. A seed reproduces a whole run."""

from collections import Counter
from dataclasses import replace

import pytest
from simulation.bytes_fold import BytesWorkload

from stream.testing.faults import FaultClass
from stream.tools.simulation.accidents import Accident
from stream.tools.simulation.seeds import run_seed
from stream.tools.simulation.simulation import Scale, Simulation

SEEDS = range(400)


@pytest.mark.parametrize("seed", SEEDS)
def test_counts_are_exact_whatever_crashes(seed: int) -> None:
    """Replay one seed with: anagram-stream simulate --seed <the seed>."""
    _, broken = run_seed(seed, trace_lines=60)
    assert not broken, f"{broken}\nreplay it with: anagram-stream simulate --seed {seed}"


@pytest.mark.parametrize("seed", range(200))
def test_another_fold_is_exact_in_the_same_storms(seed: int) -> None:
    _, broken = run_seed(seed, trace_lines=60, make_workload=BytesWorkload)
    assert not broken, broken


@pytest.mark.parametrize(
    "seed",
    [
        11668,  # nothing but dead letters was left
        14471,  # truncated input grew exactly to the committed offset
        15073,  # a store was beyond its last record
        21264,  # retention deleted input that only a stranger had committed
    ],
)
def test_seed_that_found_a_defect_passes(seed: int) -> None:
    _, broken = run_seed(seed, trace_lines=60)
    assert not broken, broken


def test_seed_reproduces_a_whole_run() -> None:
    once, again = Simulation(7), Simulation(7)
    once.run()
    again.run()
    assert list(once.trace) == list(again.trace)
    assert once.score == again.score


def test_storm_reaches_every_step_of_the_commit() -> None:
    score: Counter[str] = Counter()
    for seed in range(120):
        simulation = Simulation(seed)
        simulation.run()
        score += simulation.score
    producing = ("begin", "produce", "produce_changelog", "flush", "send_offsets", "commit", "abort")
    calls = [f"sink.{step}" for step in (*producing, "reset_producer")]
    calls += ["store.write", "source.poll_batch", "reader.read"]
    reported = [
        "committed",
        "aborted",
        "in_doubt",
        "lost",
        "revoked",
        "retried",
        "blocked",
        "waiting",
        "resumed",
    ]
    failed = ["Retriable", "Abortable", "InDoubt", "Blocked", "DiskFull", "Fenced"]
    other_faults = [kind for kind in FaultClass if kind is not FaultClass.ERROR]
    moments = [f"{moment} {call}" for call in calls for moment in ("before", "after")]
    assert not [what for what in (*other_faults, *failed, *reported, *moments) if not score[what]]


@pytest.mark.parametrize("accident", Accident)
def test_accident_is_refused_for_good_or_everything_is_exact(accident: Accident) -> None:
    score: Counter[str] = Counter()
    for seed in range(40):
        simulation = Simulation(seed, replace(Scale.drawn(seed), accident=accident))
        simulation.run()
        score += simulation.score
    assert score[accident] > score["refused"] > 0
