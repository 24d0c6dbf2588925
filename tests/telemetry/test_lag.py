from dataclasses import replace

import pytest

from stream.telemetry.lag import ClientPosition, Lag
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


def client(clock: FakeClock, stable: int, position: int, queued: int = 0) -> ClientPosition:
    return ClientPosition(clock.now(), stable, position, queued)


def test_lag_is_the_input_below_the_last_stable_offset(lag: Lag, clock: FakeClock) -> None:
    lag.update_from_client(0, client(clock, stable=30, position=30, queued=20))
    assert lag.records() == {("0",): 20}
    lag.committed({0: 25}, {})
    assert lag.records() == {("0",): 5}
    lag.committed({0: 30}, {})
    assert lag.records() == {("0",): 0}


def test_markers_after_the_last_record_are_not_lag(lag: Lag, clock: FakeClock) -> None:
    lag.polled({0: 29})
    lag.committed({0: 29}, {})
    lag.update_from_client(0, client(clock, stable=30, position=30))
    assert lag.records() == {("0",): 0}
    assert lag.seconds() == {("0",): 0}


@pytest.mark.parametrize("delayed", [client(FakeClock(), 30, 30, queued=1), client(FakeClock(), 30, 29)])
def test_queued_and_unfetched_records_are_lag(lag: Lag, clock: FakeClock, delayed: ClientPosition) -> None:
    clock.sleep(1)
    lag.update_from_client(0, replace(delayed, at_s=clock.now()))
    assert lag.records() == {("0",): 20}


def test_polled_records_are_lag_until_they_are_committed(lag: Lag, clock: FakeClock) -> None:
    lag.update_from_client(0, client(clock, stable=10, position=10))
    assert lag.records() == {("0",): 0}
    lag.polled({0: 15})
    assert lag.records() == {("0",): 5}
    lag.update_from_client(0, client(clock, stable=16, position=16))  # as after an abort and a rewind
    assert lag.records() == {("0",): 6}
    lag.committed({0: 15}, {})
    lag.update_from_client(0, client(clock, stable=16, position=16))
    assert lag.records() == {("0",): 0}


def test_a_client_position_from_before_the_partition_ran_is_ignored(clock: FakeClock) -> None:
    lag = Lag(clock)
    lag.assigned([0])
    early = client(clock, stable=30, position=30)  # at the end, and paused
    lag.restored(0, 10)
    lag.update_from_client(0, early)
    assert lag.records() == {}


def test_lag_of_a_partition_that_does_not_run_comes_from_the_cluster(clock: FakeClock) -> None:
    lag = Lag(clock)
    lag.assigned([3])
    assert lag.not_running() == [3]
    clock.sleep(40)
    lag.update_from_cluster(3, last_stable_offset=100, committed=60)
    assert lag.records() == {("3",): 40}
    assert lag.seconds() == {("3",): 40}, "since the assignment, because no record is known"
    lag.revoked([3])
    assert (lag.records(), lag.seconds()) == ({}, {})


def test_timestamp_from_the_future_hides_no_lag(lag: Lag, clock: FakeClock) -> None:
    lag.update_from_client(0, client(clock, stable=30, position=30, queued=20))
    lag.committed({0: 20}, {0: 2**63 - 1})
    clock.sleep(40)
    assert lag.seconds()["0",] == pytest.approx(40, abs=0.01)


def test_seconds_count_from_the_last_committed_record_or_from_the_last_time_without_lag(
    lag: Lag, clock: FakeClock
) -> None:
    timestamp_ms = int((clock.now() - 100) * 1000)
    lag.update_from_client(0, client(clock, stable=30, position=30, queued=20))
    lag.committed({0: 20}, {0: timestamp_ms})
    assert lag.seconds()["0",] == pytest.approx(100, abs=0.01)
    lag.committed({0: 30}, {0: timestamp_ms})
    lag.update_from_client(0, client(clock, stable=30, position=30))
    clock.sleep(7)
    lag.polled({0: 31})
    assert lag.seconds() == {("0",): 7}, "the lag was 0 until 7 s ago, so the old timestamp does not count"


def test_in_doubt_no_partition_runs(lag: Lag, clock: FakeClock) -> None:
    lag.in_doubt()
    assert lag.not_running() == [0]
    lag.update_from_client(0, client(clock, stable=99, position=99))
    assert lag.records() == {}
