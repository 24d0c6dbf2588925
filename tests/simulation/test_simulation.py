"""The commit protocol in a storm of faults. A seed is a complete replay."""

import pytest

from stream.testing.simulation import Simulation

SEEDS = range(200)


@pytest.mark.parametrize("seed", SEEDS)
def test_counts_are_exact_whatever_crashes(seed: int) -> None:
    Simulation(seed).run()
