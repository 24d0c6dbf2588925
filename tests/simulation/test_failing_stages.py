"""Storms with failing stages: the plan of the original, with scaled delays."""

from typing import Any

import pytest

from stream.exercise.faults import ORIGINAL
from stream.testing.anagrams import blob_tokens
from stream.testing.process import Tuning
from stream.tools.simulation import simulation
from stream.tools.simulation.seeds import run_seed

SEEDS = range(60)


def test_counts_are_exact_whatever_crashes_and_whichever_stage_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    retries = 0
    for seed in SEEDS:
        plan = ORIGINAL.with_options(seed, scale=0.05)
        more = {"plan": plan, "retry_attempts_max": 12, "tokens": blob_tokens}

        def tuned(more: dict[str, Any] = more, **drawn: Any) -> Tuning:
            return Tuning(**drawn | more)

        monkeypatch.setattr(simulation, "Tuning", tuned)
        ran, broken = run_seed(seed, trace_lines=60)
        assert not broken, f"seed {seed}: {broken}"
        retries += ran.score["retried"]
    assert retries > 10 * len(SEEDS)
