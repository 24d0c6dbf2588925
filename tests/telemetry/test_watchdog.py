import threading

import pytest
import structlog

from stream.telemetry.health import Health
from stream.telemetry.watchdog import SUSPENDED_S, HangLimits, Watchdog, stacks
from stream.testing.clock import FakeClock


def hang_here(held: threading.Event, secret: str) -> None:
    assert secret
    held.wait(30)


def test_stacks_show_the_functions_of_each_thread_and_no_values() -> None:
    held = threading.Event()
    thread = threading.Thread(target=hang_here, args=(held, "a blob's text"), name="loop-of-the-test")
    thread.start()
    try:
        by_thread = stacks()
    finally:
        held.set()
        thread.join()
    assert any("hang_here" in frame for frame in by_thread["loop-of-the-test"])
    assert "a blob's text" not in str(by_thread)


class Checked:
    """A watchdog with a fake clock; `wait` checks it every second, as its thread does."""

    def __init__(self, limits: HangLimits) -> None:
        self.health, self.clock = Health(), FakeClock()
        self.clock.sleep(1.0)
        self.watchdog = Watchdog(self.health, self.clock, limits)
        self.watchdog.close()
        self.health.last_run_at = self.clock.monotonic()

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.sleep(1.0)
            self.watchdog.check()


def test_each_hang_of_the_loop_is_logged_once_and_ends_the_process() -> None:
    ended = list[int]()
    with structlog.testing.capture_logs() as lines:
        checked = Checked(HangLimits(60.0, end=lambda: ended.append(1)))
        checked.wait(59)
        assert not lines
        checked.wait(5)
        assert [line["event"] for line in lines] == ["loop hangs"]
        assert len(ended) == 1
        checked.health.last_run_at = checked.clock.monotonic()
        checked.wait(61)
        assert len(lines) == len(ended) == 2
    assert lines[0]["log_level"] == "error"
    assert lines[0]["last_turn_seconds_ago"] == pytest.approx(61, abs=1.1)
    assert "MainThread" in lines[0]["stacks"]


def test_a_loop_that_has_not_started_does_not_hang() -> None:
    checked = Checked(HangLimits(60.0))
    checked.health.last_run_at = 0.0
    with structlog.testing.capture_logs() as lines:
        checked.wait(100)
    assert not lines


def test_a_call_that_does_not_return_is_a_hang_sooner_than_the_pass() -> None:
    began_at: float | None = None
    with structlog.testing.capture_logs() as lines:
        checked = Checked(HangLimits(60.0, 20.0, lambda: began_at))
        checked.wait(10)
        began_at = checked.clock.monotonic()
        checked.wait(20)
        assert not lines
        checked.wait(1)
    (line,) = lines
    assert "a call to the client library" in line["what"]


def test_a_process_that_was_suspended_gets_the_full_time_again() -> None:
    with structlog.testing.capture_logs() as lines:
        checked = Checked(HangLimits(60.0, 20.0, lambda: 1.0))
        checked.clock.sleep(SUSPENDED_S + 100)
        checked.watchdog.check()
        checked.wait(19)
        assert not lines
        checked.wait(2)
    assert len(lines) == 1
