import pytest

from stream.telemetry.lag import Fetched, Lag
from stream.testing.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def lag(clock: FakeClock) -> Lag:
    lag = Lag(clock)
    lag.assigned([0])
    lag.restored(0, 10)
    clock.sleep(2)
    return lag


def fetched(clock: FakeClock, stable: int, position: int, queued: int = 0) -> Fetched:
    return Fetched(clock.now(), stable, position, queued)


def test_lag_is_what_is_below_the_last_stable_offset(lag: Lag, clock: FakeClock) -> None:
    lag.fetched(0, fetched(clock, stable=30, position=30, queued=20))
    assert lag.records() == {("0",): 20}
    lag.committed({0: 25}, {})
    assert lag.records() == {("0",): 5}
    lag.committed({0: 30}, {})
    assert lag.records() == {("0",): 0}


def test_markers_after_the_last_record_are_no_lag(lag: Lag, clock: FakeClock) -> None:
    lag.given({0: 29})
    lag.committed({0: 29}, {})
    lag.fetched(0, fetched(clock, stable=30, position=30))
    assert lag.records() == {("0",): 0}
    assert lag.seconds() == {("0",): 0}


@pytest.mark.parametrize("at", [fetched(FakeClock(), 30, 30, queued=1), fetched(FakeClock(), 30, 29)])
def test_what_is_queued_or_not_fetched_is_lag(lag: Lag, clock: FakeClock, at: Fetched) -> None:
    clock.sleep(1)
    lag.fetched(0, Fetched(clock.now(), at.last_stable_offset, at.position, at.queued))
    assert lag.records() == {("0",): 20}


def test_what_is_in_our_hands_is_lag_until_it_is_committed(lag: Lag, clock: FakeClock) -> None:
    lag.fetched(0, fetched(clock, stable=10, position=10))
    assert lag.records() == {("0",): 0}
    lag.given({0: 15})
    assert lag.records() == {("0",): 5}
    lag.fetched(0, fetched(clock, stable=16, position=16))  # aborted and rewound, say
    assert lag.records() == {("0",): 6}
    lag.committed({0: 15}, {})
    lag.fetched(0, fetched(clock, stable=16, position=16))
    assert lag.records() == {("0",): 0}


def test_what_the_client_knew_before_the_partition_ran_is_not_believed(clock: FakeClock) -> None:
    lag = Lag(clock)
    lag.assigned([0])
    early = fetched(clock, stable=30, position=30)  # it stood at the end, paused
    lag.restored(0, 10)
    lag.fetched(0, early)
    assert lag.records() == {}


def test_a_partition_that_does_not_run_is_as_far_behind_as_the_cluster_says(clock: FakeClock) -> None:
    lag = Lag(clock)
    lag.assigned([3])
    assert lag.not_running() == [3]
    clock.sleep(40)
    lag.looked(3, last_stable_offset=100, position=60)
    assert lag.records() == {("3",): 40}
    assert lag.seconds() == {("3",): 40}, "as far as can be told without a record: since it is ours"
    lag.revoked([3])
    assert (lag.records(), lag.seconds()) == ({}, {})


def test_seconds_are_since_the_last_record_done_or_since_none_was_left(lag: Lag, clock: FakeClock) -> None:
    stamp_ms = int((clock.now() - 100) * 1000)
    lag.fetched(0, fetched(clock, stable=30, position=30, queued=20))
    lag.committed({0: 20}, {0: stamp_ms})
    assert lag.seconds()["0",] == pytest.approx(100, abs=0.01)
    lag.committed({0: 30}, {0: stamp_ms})
    lag.fetched(0, fetched(clock, stable=30, position=30))
    clock.sleep(7)
    lag.given({0: 31})
    assert lag.seconds() == {("0",): 7}, "nothing was left 7 s ago, however old the last record was"


def test_a_producer_in_doubt_means_that_nothing_runs(lag: Lag, clock: FakeClock) -> None:
    lag.stopped()
    assert lag.not_running() == [0]
    lag.fetched(0, fetched(clock, stable=99, position=99))
    assert lag.records() == {}
