import threading

import pytest
import structlog

from stream.telemetry.health import Health
from stream.telemetry.watchdog import Watchdog, stacks
from stream.testing.clock import FakeClock

RUN_ONCE_S_MAX = 60.0


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


def test_each_hang_of_the_loop_is_logged_once() -> None:
    health, clock = Health(), FakeClock()
    with structlog.testing.capture_logs() as lines:
        watchdog = Watchdog(health, clock, RUN_ONCE_S_MAX)
        watchdog.check()
        assert not lines, "a loop that has not started does not hang"
        health.last_run_at = clock.monotonic() or 1.0
        clock.sleep(RUN_ONCE_S_MAX - 2)
        watchdog.check()
        assert not lines
        clock.sleep(5)
        watchdog.check()
        watchdog.check()
        assert [line["event"] for line in lines] == ["loop hangs"]
        health.last_run_at = clock.monotonic()
        clock.sleep(RUN_ONCE_S_MAX + 1)
        watchdog.check()
        assert len(lines) == 2
        watchdog.close()
    assert lines[0]["log_level"] == "error"
    assert lines[0]["last_turn_seconds_ago"] == pytest.approx(RUN_ONCE_S_MAX + 3, abs=1.1)
    assert "MainThread" in lines[0]["stacks"]
