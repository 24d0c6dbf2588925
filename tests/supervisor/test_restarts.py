import pytest

from stream.supervisor.restarts import (
    DEATHS_IN_A_ROW_MAX,
    STABLE_RUN_S,
    WAIT_S,
    WAIT_S_MAX,
    RestartBackoff,
)


def test_the_wait_doubles_with_each_death_in_a_row_up_to_a_limit() -> None:
    backoff = RestartBackoff(lambda: 1.0)
    waits = [backoff.wait_s(0.0) for _ in range(DEATHS_IN_A_ROW_MAX - 1)]
    assert waits == [min(WAIT_S_MAX, WAIT_S * 2**n) for n in range(DEATHS_IN_A_ROW_MAX - 1)]
    assert waits[-1] == WAIT_S_MAX


@pytest.mark.parametrize(("drawn", "share"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_jitter_shortens_a_wait_by_up_to_half(drawn: float, share: float) -> None:
    backoff = RestartBackoff(lambda: drawn)
    backoff.wait_s(0.0)
    assert backoff.wait_s(0.0) == pytest.approx(share * 2 * WAIT_S)


def test_after_too_many_deaths_in_a_row_the_backoff_gives_up() -> None:
    backoff = RestartBackoff(lambda: 1.0)
    for _ in range(DEATHS_IN_A_ROW_MAX - 1):
        assert backoff.wait_s(1.0) is not None
    assert backoff.wait_s(1.0) is None


def test_a_stable_run_resets_the_wait() -> None:
    backoff = RestartBackoff(lambda: 1.0)
    for _ in range(3):
        backoff.wait_s(STABLE_RUN_S - 1)
    assert backoff.wait_s(STABLE_RUN_S - 1) == 8 * WAIT_S
    assert backoff.wait_s(STABLE_RUN_S) == WAIT_S
