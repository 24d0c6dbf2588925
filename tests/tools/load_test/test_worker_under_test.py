import json
from pathlib import Path
from time import monotonic

import pytest

from stream.config import load_settings
from stream.errors import Fatal
from stream.tools.load_test import worker_under_test
from stream.tools.load_test.worker_under_test import WorkerUnderTest


def logged(folder: Path, number: int, *events: str) -> None:
    lines = [json.dumps({"event": event, "level": "info"}) for event in events]
    (folder / f"worker-{number}.log").write_text("\n".join(["not json", *lines]) + "\n")


def test_moves_of_partitions_are_counted_over_all_workers(tmp_path: Path) -> None:
    worker = WorkerUnderTest(load_settings(), tmp_path, 2, ())
    logged(tmp_path, 0, "worker started", "partitions assigned", "partitions revoked", "partition running")
    logged(tmp_path, 1, "worker started", "partitions assigned", "partitions lost", "partitions")
    assert worker.moves() == 4


def test_only_several_members_have_to_settle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_under_test, "SETTLED_S", 0.5)
    worker = WorkerUnderTest(load_settings(), tmp_path, 1, ())
    logged(tmp_path, 0, "worker started", "partitions assigned")
    began = monotonic()
    worker.wait_settled()
    assert monotonic() - began < 0.3
    logged(tmp_path, 0, "worker started", "worker started", "partitions assigned")
    began = monotonic()
    worker.wait_settled()
    assert monotonic() - began >= 0.5


def test_group_that_never_settles_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_under_test, "SETTLE_S_MAX", 0.5)
    worker = WorkerUnderTest(load_settings(), tmp_path, 1, ())
    logged(tmp_path, 0, "worker started", "worker started", "partitions assigned")
    with pytest.raises(Fatal, match="kept moving"):
        worker.wait_settled()


def test_worker_that_exits_is_an_error_with_its_last_lines(tmp_path: Path) -> None:
    worker = WorkerUnderTest(load_settings(), tmp_path, 1, ())
    worker.processes[0].command = ("-c", "import sys; print('last words'); sys.exit(7)")
    with worker:
        worker.start()
        with pytest.raises(Fatal, match=r"status 7; its last lines:\nlast words"):
            worker.wait_ready()
