from hypothesis import given
from hypothesis import strategies as st

from stream.tools.load_test.schedule import NS, Schedule

rates = st.floats(0.1, 1e6, allow_nan=False)


@given(rates, st.integers(0, 10**6), st.integers(0, 10**12))
def test_blobs_are_due_once_their_time_has_come(rate: float, blobs: int, elapsed_ns: int) -> None:
    schedule = Schedule(1_000, rate, blobs)
    now_ns = 1_000 + elapsed_ns
    due = schedule.due_by(now_ns)
    assert 0 <= due <= blobs
    assert due == 0 or schedule.due_ns(due - 1) <= now_ns
    assert due == blobs or schedule.due_ns(due + 1) > now_ns


@given(rates, st.integers(0, 10**6))
def test_intervals_are_equal_and_do_not_drift(rate: float, number: int) -> None:
    schedule = Schedule(0, rate, number + 1)
    assert abs(schedule.due_ns(number) - number * NS / rate) <= max(1, number * NS / rate * 1e-9)


def test_nothing_is_due_before_the_start() -> None:
    assert Schedule(100, 1.0, 5).due_by(99) == 0
    assert Schedule(100, 1.0, 5).due_by(100) == 1
