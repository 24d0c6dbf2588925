import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from stream.tools.chaos.fleet import Fleet, Restart

REFUSED = {"event": "worker failed", "error": "the log was truncated", "fix": "anagram-stream offsets show"}
UNAVAILABLE = {"event": "worker failed", "error": "no broker responds", "fix": "check the address"}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Two workers that fail at once and are restarted unless they refuse."""
    fleet = Fleet(tmp_path, {"STREAM_PROCESSES": "1"}, 2)
    fleet.restart = Restart.UNLESS_REFUSED
    yield fleet
    fleet.stop()


def fail_with(fleet: Fleet, failure: object) -> None:
    for worker in fleet.workers:
        worker.command = ("-c", f"print({orjson.dumps(failure).decode()!r}); raise SystemExit(1)")
        worker.start()


def supervise(fleet: Fleet, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not fleet.all_refused:
        fleet.supervise()
        time.sleep(0.02)


def test_worker_that_refuses_is_only_started_by_start_again(fleet: Fleet) -> None:
    fail_with(fleet, REFUSED)
    supervise(fleet, 20)
    assert {refusal.error for refusal in fleet.refusals.values()} == {"the log was truncated"}
    fleet.supervise()
    assert not any(worker.is_running for worker in fleet.workers)
    for worker in fleet.workers:
        worker.command = ("-c", "import time; time.sleep(60)")
    fleet.start_again()
    assert not fleet.refusals
    assert all(worker.is_running for worker in fleet.workers)
    assert fleet.history.exits == {1: 2}


def test_worker_that_exits_for_another_cause_is_restarted(fleet: Fleet) -> None:
    fail_with(fleet, UNAVAILABLE)
    supervise(fleet, 3)
    assert not fleet.refusals
    assert fleet.history.exits[1] > 2


def test_no_worker_is_restarted_while_offsets_are_changed(fleet: Fleet) -> None:
    fleet.restart = Restart.NONE
    fail_with(fleet, UNAVAILABLE)
    supervise(fleet, 1)
    assert not any(worker.is_running for worker in fleet.workers)
