import threading

import pytest
import structlog

from stream.telemetry.health import Health
from stream.telemetry.watchdog import Watchdog, stacks
from stream.testing.clock import FakeClock

TURN_S_MAX = 60.0


def hang_here(held: threading.Event, secret: str) -> None:
    assert secret
    held.wait(30)


def test_stacks_say_where_each_thread_stands_and_no_values() -> None:
    held = threading.Event()
    thread = threading.Thread(target=hang_here, args=(held, "a blob's text"), name="loop-of-the-test")
    thread.start()
    try:
        found = stacks()
    finally:
        held.set()
        thread.join()
    assert any("hang_here" in frame for frame in found["loop-of-the-test"])
    assert "a blob's text" not in str(found)


def test_a_loop_that_hangs_is_logged_once_and_again_after_it_turned() -> None:
    health, clock = Health(), FakeClock()
    with structlog.testing.capture_logs() as lines:
        dog = Watchdog(health, clock, TURN_S_MAX)
        dog.look()
        assert not lines, "a loop that has not begun does not hang"
        health.turned = clock.monotonic() or 1.0
        clock.sleep(TURN_S_MAX - 2)
        dog.look()
        assert not lines
        clock.sleep(5)
        dog.look()
        dog.look()
        assert [line["event"] for line in lines] == ["loop hangs"]
        health.turned = clock.monotonic()
        clock.sleep(TURN_S_MAX + 1)
        dog.look()
        assert len(lines) == 2
        dog.close()
    assert lines[0]["log_level"] == "error"
    assert lines[0]["last_turn_seconds_ago"] == pytest.approx(TURN_S_MAX + 3, abs=1.1)
    assert "MainThread" in lines[0]["stacks"]
