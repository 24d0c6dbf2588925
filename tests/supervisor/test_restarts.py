import pytest

from stream.supervisor.restarts import DEATHS_IN_A_ROW_MAX, RUNS_WELL_S, WAIT_S, WAIT_S_MAX, Restarts


def test_each_death_in_a_row_waits_twice_as_long_up_to_a_limit() -> None:
    restarts = Restarts(lambda: 1.0)
    waits = [restarts.wait_s(0.0) for _ in range(DEATHS_IN_A_ROW_MAX - 1)]
    assert waits == [min(WAIT_S_MAX, WAIT_S * 2**n) for n in range(DEATHS_IN_A_ROW_MAX - 1)]
    assert waits[-1] == WAIT_S_MAX


@pytest.mark.parametrize(("drawn", "share"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_jitter_takes_up_to_half_of_a_wait(drawn: float, share: float) -> None:
    restarts = Restarts(lambda: drawn)
    restarts.wait_s(0.0)
    assert restarts.wait_s(0.0) == pytest.approx(share * 2 * WAIT_S)


def test_too_many_deaths_in_a_row_are_the_end() -> None:
    restarts = Restarts(lambda: 1.0)
    for _ in range(DEATHS_IN_A_ROW_MAX - 1):
        assert restarts.wait_s(1.0) is not None
    assert restarts.wait_s(1.0) is None


def test_who_has_run_well_begins_anew() -> None:
    restarts = Restarts(lambda: 1.0)
    for _ in range(3):
        restarts.wait_s(RUNS_WELL_S - 1)
    assert restarts.wait_s(RUNS_WELL_S - 1) == 8 * WAIT_S
    assert restarts.wait_s(RUNS_WELL_S) == WAIT_S
