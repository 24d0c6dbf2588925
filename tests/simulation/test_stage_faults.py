"""Storms in which stages fail on purpose as well: the plan of the original, its delays scaled."""

from typing import Any

import pytest

from stream.run.faults import ORIGINAL
from stream.testing import simulation
from stream.testing.process import Tuning
from stream.testing.seeds import run_seed


@pytest.mark.parametrize("seed", range(60))
def test_counts_are_exact_whatever_crashes_and_whichever_stage_fails(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = ORIGINAL.with_options(seed, scale=0.05)

    def tuned(**drawn: Any) -> Tuning:
        return Tuning(**drawn | {"plan": plan, "retry_attempts_max": 12})

    monkeypatch.setattr(simulation, "Tuning", tuned)
    ran, broken = run_seed(seed, trace_lines=60)
    assert not broken, broken
    assert ran.score["retried"] > 0
