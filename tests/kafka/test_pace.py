"""Batches follow each other quickly while the loop has time to spare, else at the commit interval."""

import pytest

from stream.kafka.pace import ROOM, Pace

INTERVAL_S = 0.1


class Times:
    """A fake clock, and the CPU time that the thread of the loop used."""

    def __init__(self) -> None:
        self.now, self.used = 1_000.0, 5.0
        self.pace = Pace(INTERVAL_S, lambda: self.now, lambda: self.used)
        self.pace.next_due()

    def after(self, passed_s: float, used_s: float) -> tuple[float, bool]:
        """Let time pass; return the seconds until the next batch is due, and whether it is late."""
        self.now += passed_s
        self.used += used_s
        due, is_late = self.pace.next_due()
        return due - self.now, is_late


@pytest.mark.parametrize(
    ("passed_s", "used_s", "due_s"),
    [
        (0.010, 0.005, 0.005 / ROOM - 0.010),  # time to spare: as soon as the share allows
        (0.010, 0.090, INTERVAL_S - 0.010),  # load: after the commit interval
    ],
)
def test_batch_is_due_when_the_share_of_the_processor_allows(
    passed_s: float, used_s: float, due_s: float
) -> None:
    assert Times().after(passed_s, used_s) == pytest.approx((due_s, False))


@pytest.mark.parametrize("used_s", [0.001, 0.4])
def test_batch_after_a_long_transaction_is_late(used_s: float) -> None:
    assert Times().after(0.5, used_s) == (0.0, True)


def test_record_after_a_quiet_time_is_due_at_once() -> None:
    assert Times().after(60.0, 0.6) == (0.0, True)


def test_interval_begins_at_the_end_of_the_last_one() -> None:
    times = Times()
    assert times.after(0.0, 1.0) == pytest.approx((INTERVAL_S, False))
    assert times.after(INTERVAL_S, 1.0) == pytest.approx((INTERVAL_S, False))
