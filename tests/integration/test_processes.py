"""Several worker processes under a supervisor, on a real broker."""

import os
import signal
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import orjson
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.environment import own_env
from support.load import Load, judge, texts
from support.process import WorkerProcess
from support.topics import make_topics, produce, read, wait_until
from test_faults import with_protocol
from test_refusals import run

pytestmark = pytest.mark.broker
PARTITIONS = 4


@pytest.fixture
def env(kafka: str, tmp_path: Path) -> dict[str, str]:
    """Settings for two processes and four partitions."""
    return make_topics({**own_env(kafka, tmp_path), "STREAM_PROCESSES": "2"}, PARTITIONS)


def get(worker: WorkerProcess, path: str) -> tuple[int, bytes]:
    (listens, *_) = worker.events("telemetry listens")
    try:
        with urlopen(listens["address"] + path, timeout=10) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


def samples(worker: WorkerProcess, name: str) -> dict[str, float]:
    families = text_string_to_metric_families(get(worker, "/metrics")[1].decode())
    return {s.labels["process"]: s.value for f in families for s in f.samples if s.name == name}


def ready(worker: WorkerProcess) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(get(worker, "/healthz/ready")[1])
    return body


def wait_ready(worker: WorkerProcess) -> None:
    """Wait until every process has partitions and is ready."""
    worker.wait_for("telemetry listens")

    def all_ready() -> bool:
        assert worker.process.poll() is None, worker.log.read_text()[-3000:]
        body = ready(worker)
        return bool(body["ready"]) and all(process["ready"] for process in body["processes"].values())

    wait_until(all_ready, 60)


def started(worker: WorkerProcess, number: int) -> list[str]:
    """Return the instance id of each start of a process."""
    return [event["instance"] for event in worker.events("worker started") if event["process"] == number]


def pid_of(worker: WorkerProcess, number: int) -> int:
    events = [event for event in worker.events("process started") if event["process"] == number]
    return int(events[-1]["pid"])


def test_two_processes_share_the_partitions_and_count_exactly(env: dict[str, str], tmp_path: Path) -> None:
    blobs = texts(3000, 20)
    with WorkerProcess(env, tmp_path / "log") as worker:
        wait_ready(worker)
        with Load(env, blobs, 3):
            pass
        judge(env, blobs)
        records = samples(worker, "stream_records_total")
        assert set(records) == {"0", "1"}
        assert sum(records.values()) == len(blobs)
        assert min(records.values()) > 0, "both processes have counted"
        assert samples(worker, "stream_assigned_partitions") == {"0": 2, "1": 2}
        assert worker.stop() == 0
        assert {event["process"] for event in worker.events("worker stopping")} == {0, 1}
    assert run(env, "verify", "--state-dir", env["STREAM_STATE_DIR"]).returncode == 0


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_a_killed_process_is_restarted_and_each_record_is_counted_once(
    env: dict[str, str], tmp_path: Path, protocol: str
) -> None:
    env = with_protocol(env, protocol, tmp_path, static=protocol == "classic")
    blobs = texts(4000, 20)
    with WorkerProcess(env, tmp_path / "log") as worker:
        wait_ready(worker)
        with Load(env, blobs, 8) as load:
            for share, number in ((0.3, 1), (0.6, 0)):
                load.wait_for(share)
                os.kill(pid_of(worker, number), signal.SIGKILL)
                wait_until(lambda n=number: len(started(worker, n)) == 2, 30)  # type: ignore[misc]
        judge(env, blobs)
        wait_ready(worker)
        assert samples(worker, "stream_process_restarts_total") == {"0": 1, "1": 1}
        for number in (0, 1):
            assert len(set(started(worker, number))) == 1, "the restarted process has the same folder and id"
        assert worker.stop() == 0


def test_workers_exit_when_the_supervisor_is_killed_and_a_successor_continues(
    env: dict[str, str], tmp_path: Path
) -> None:
    blobs = texts(3000, 20)
    with WorkerProcess(env, tmp_path / "log") as worker:
        wait_ready(worker)
        with Load(env, blobs, 6) as load:
            load.wait_for(0.4)
            children = psutil.Process(worker.process.pid).children(recursive=True)
            assert len(children) == 3
            worker.kill()
            _, alive = psutil.wait_procs(children, timeout=8)
            assert not alive
            worker.start()
        judge(env, blobs)
        assert worker.stop() == 0


def test_the_worker_is_ready_only_if_every_process_is(env: dict[str, str], tmp_path: Path) -> None:
    with WorkerProcess(env, tmp_path / "log") as worker:
        wait_ready(worker)
        assert get(worker, "/healthz/started")[0] == get(worker, "/healthz/live")[0] == 200
        pid = pid_of(worker, 1)
        os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            status, body = get(worker, "/healthz/ready")
            assert (status, orjson.loads(body)["reasons"]) == (503, ["process 1: does not respond"])
            assert samples(worker, "stream_process_up") == {"0": 1, "1": 0}
            assert set(samples(worker, "stream_records_total")) == {"0"}
            assert time.monotonic() - began < 8
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_ready(worker)
        assert samples(worker, "stream_process_up") == {"0": 1, "1": 1}


def test_missing_topics_are_reported_once(kafka: str, tmp_path: Path) -> None:
    ended = run({**own_env(kafka, tmp_path), "STREAM_PROCESSES": "2"}, "worker")
    assert ended.returncode == 1
    assert ended.stderr.count("error:") == ended.stderr.count("fix:") == 1
    assert "anagram-stream topics create" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_process_that_raises_a_stream_error_stops_all_and_reports_one_error(
    env: dict[str, str], tmp_path: Path
) -> None:
    env = {**env, "STREAM_REJECTED_IN_A_ROW_MAX": "3"}
    produce(env, [(None, b"\xff")] * 10, partition=0)
    with WorkerProcess(env, tmp_path / "log") as worker:
        assert worker.wait() == 1
        assert worker.log.read_text().count("STREAM_REJECTED_IN_A_ROW_MAX") >= 1
        assert len(worker.events("worker failed")) == 1
        assert "Traceback" not in worker.log.read_text()


def test_the_option_overrides_the_setting_and_one_process_has_no_supervisor(
    env: dict[str, str], tmp_path: Path
) -> None:
    command = ("-m", "stream", "worker", "--processes", "1")
    with WorkerProcess(env, tmp_path / "log", command) as worker:
        worker.wait_for("worker started")
        assert not psutil.Process(worker.process.pid).children()
        produce(env, [("a", "cat")])
        wait_until(lambda: read(env, "result"), 60)
        assert worker.stop() == 0
