import json

import pytest
from cli.running import Cli

from stream.testing.sink import FakeSink


def test_seeds_pass_and_are_counted(cli: Cli) -> None:
    done = cli("simulate", "--seeds", "60", "--processes", "2", "--format", "json")
    report = json.loads(done.out)
    assert (done.status, report["seeds"], report["failed"]) == (0, 60, [])
    assert report["simulated_hours"] > 0
    assert report["happened"]["committed"] > 100


def test_one_seed_is_printed_with_all_events(cli: Cli) -> None:
    done = cli("simulate", "--seed", "3")
    assert done.status == 0
    assert done.lines[-1].startswith("seed 3 passed")
    assert "calm" in done.lines[-2]


def test_broken_seed_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeSink, "send_offsets", lambda *_: None)
    done = cli("simulate", "--seed", "3")
    assert done.status == 1
    assert "not drained" in done.out or "Violation" in done.out
