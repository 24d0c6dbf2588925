"""A worker in the environments that containers and shells create."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.process import UnguardedProcess, WorkerProcess
from support.topics import produce, results, wait_until
from test_refusals import run

from stream.tools.child_environment import environment_without_settings

pytestmark = pytest.mark.broker


def test_worker_keeps_counting_if_its_log_reader_disappears(
    stream_env: dict[str, str], tmp_path: Path
) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-m", "stream", "worker"],
        env={**environment_without_settings(), **stream_env},
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline(), "the worker logged nothing"
        worker.stdout.close()
        produce(stream_env, [(None, "cat")] * 3)
        wait_until(lambda: len(results(stream_env)) == 3, 60)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
    finally:
        worker.kill()
        worker.wait()


def test_worker_without_standard_streams_counts(stream_env: dict[str, str], tmp_path: Path) -> None:
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-m", "stream", "worker"]
    worker = UnguardedProcess(
        closed,
        folder=tmp_path,
        console=tmp_path / "log",
        env={**environment_without_settings(), **stream_env},
    )
    try:
        produce(stream_env, [(None, "cat")] * 3)
        wait_until(lambda: len(results(stream_env)) == 3, 60)
        worker.stop()
        assert worker.returncode == 0
    finally:
        worker.kill()


def test_worker_starts_despite_service_links_and_reports_them_once(
    stream_env: dict[str, str], tmp_path: Path
) -> None:
    links = {"STREAM_SERVICE_HOST": "10.0.0.1", "STREAM_HTTP_PORT": "tcp://10.0.0.1:8080"}
    with WorkerProcess({**stream_env, **links}, tmp_path / "log") as worker:
        worker.wait_for("worker started")
        (line,) = worker.events("Kubernetes service links ignored")
        assert line["variables"] == ["STREAM_HTTP_PORT", "STREAM_SERVICE_HOST"]
        assert run({**stream_env, **links}, "lag").returncode == 0
        health = run({**stream_env, "STREAM_HTTP_PORT": "1"}, "health")
        assert health.returncode == 1
        assert "nothing responds at 127.0.0.1:1" in health.stdout
