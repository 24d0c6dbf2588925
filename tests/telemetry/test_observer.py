import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from stream.core.columns import InputRecords
from stream.errors import Misconfigured
from stream.events import Committed
from stream.telemetry.health import NO_PARTITION, RUN_ONCE_S_MAX, Health
from stream.telemetry.instrumented import Instruments
from stream.telemetry.lag import Lag
from stream.telemetry.metrics import Metrics
from stream.telemetry.observer import NO_PARTITION_LOG_INTERVAL_S, NO_PARTITION_S, WorkerObserver
from stream.telemetry.server import TelemetryServer
from stream.worker.clock import SystemClock


class ObservedWorker:
    def __init__(self) -> None:
        self.health, metrics, clock = Health(), Metrics(), SystemClock()
        self.instruments = Instruments(metrics, Lag(clock), clock)
        self.observer = WorkerObserver(metrics, self.health, clock, self.instruments, group="g")
        self.server = TelemetryServer("127.0.0.1", 0, metrics, self.health, clock)

    def get(self, path: str) -> tuple[int, Any]:
        try:
            with urlopen(f"http://127.0.0.1:{self.server.port}{path}") as answer:
                return answer.status, json.loads(answer.read())
        except HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def metric(self, name: str) -> dict[str, float]:
        with urlopen(f"http://127.0.0.1:{self.server.port}/metrics") as answer:
            families = text_string_to_metric_families(answer.read().decode())
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return {",".join(sample.labels.values()): sample.value for sample in samples}


@pytest.fixture
def worker() -> Iterator[ObservedWorker]:
    worker = ObservedWorker()
    yield worker
    worker.server.close()


def test_ready_gives_reasons_until_every_partition_runs(worker: ObservedWorker) -> None:
    assert worker.get("/healthz/ready") == (503, {"ready": False, "reasons": ["not joined yet"]})
    worker.observer.started()
    assert worker.get("/healthz/ready")[1]["reasons"] == [NO_PARTITION]
    worker.observer.assigned([0, 1])
    worker.observer.restoring(0, 5, 20)
    assert worker.get("/healthz/ready")[1]["reasons"][0] == "partition 0 restoring, 15 offsets remain"
    started = worker.get("/healthz/started")[1]
    assert (started["started"], started["joined"], started["restore_remaining_offsets"]) == (False, True, 15)
    assert started["restoring"][0] == {"partition": 0, "remaining_offsets": 15, "eta_seconds": None}
    worker.observer.restored(0, 20, 0.1, 3)
    worker.observer.blocked(1, "counts has 1 partition", "anagram-stream topics create")
    assert worker.get("/healthz/ready")[1]["reasons"] == ["partition 1 blocked: counts has 1 partition"]
    worker.observer.restored(1, 0, 0.1, 0)
    assert worker.get("/healthz/ready") == (200, {"ready": True, "reasons": []})
    assert worker.get("/healthz/started")[0] == 200


def test_last_line_reports_that_all_partitions_run(worker: ObservedWorker) -> None:
    with capture_logs() as logged:
        worker.observer.assigned([0, 1])
        worker.observer.restored(0, 20, 0.1, 3)
        worker.observer.blocked(1, "counts has 1 partition", "anagram-stream topics create")
        assert not [line for line in logged if line["event"] == "ready"]
        worker.observer.restored(1, 0, 0.1, 0)
    assert (logged[-1]["event"], logged[-1]["running"], logged[-1]["assigned"]) == ("ready", 2, 2)


@pytest.mark.parametrize("ahead_s", [60, 10**12])
def test_clock_that_is_off_is_logged_once(worker: ObservedWorker, ahead_s: int) -> None:
    """Input cannot come from the future, and a timestamp may be any 64-bit number."""

    def commit(timestamp_ms: int) -> None:
        worker.instruments.polled([InputRecords("in", 0, [4], [None], [b"cat"], [()], [timestamp_ms])])
        worker.observer.committed(Committed(1, 1, 1, {}, 0, {0: 5}))

    now_ms = int(time.time() * 1000)
    with capture_logs() as logged:
        for timestamp_ms in (-(2**63), -1, 0, now_ms - 60_000, now_ms):
            commit(timestamp_ms)
        assert not logged
        for _ in range(3):
            commit(now_ms + ahead_s * 1000)
    (line,) = logged
    assert (line["event"], line["log_level"]) == ("clocks differ", "warning")
    assert "timedatectl" in line["fix"]


def test_a_worker_whose_partitions_all_went_to_other_members_is_not_ready(worker: ObservedWorker) -> None:
    worker.observer.started()
    worker.observer.assigned([0])
    worker.observer.restored(0, 0, 0.1, 0)
    assert worker.get("/healthz/ready")[0] == 200
    worker.observer.revoked([0], lost=False)
    status, body = worker.get("/healthz/ready")
    assert (status, body["reasons"]) == (503, [NO_PARTITION])
    assert "run `anagram-stream lag`" in NO_PARTITION


def test_worker_without_a_partition_logs_this_repeatedly(
    worker: ObservedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(SystemClock, "monotonic", lambda _: now)
    worker.observer.started()

    def lines_after(passed_s: float) -> int:
        nonlocal now
        with capture_logs() as logged:
            for _ in range(int(passed_s)):
                now += 1.0
                worker.observer.ran_once()
        assert {line["event"] for line in logged} <= {"no partition"}
        return len(logged)

    assert lines_after(NO_PARTITION_S) == 0
    assert lines_after(2 * NO_PARTITION_LOG_INTERVAL_S) == 2
    worker.observer.assigned([0])
    assert lines_after(2 * NO_PARTITION_LOG_INTERVAL_S) == 0
    assert worker.metric("stream_ready") == {"": 0.0}


def test_started_estimates_when_the_restore_ends(worker: ObservedWorker) -> None:
    worker.observer.assigned([0, 1])
    worker.observer.restoring(0, 100, 1_000)
    progress = worker.health.restoring[0]
    worker.observer.restoring(0, 400, 1_000)
    progress.moved_s = progress.began_s + 3  # 300 offsets in 3 s: 600 remain
    worker.health.restored(1)
    answer = worker.get("/healthz/started")[1]
    assert answer["restoring"] == [{"partition": 0, "remaining_offsets": 600, "eta_seconds": 6.0}]
    assert (answer["restore_remaining_offsets"], answer["restore_eta_seconds"]) == (600, 6.0)
    worker.health.in_doubt(0)
    assert worker.get("/healthz/started")[1]["restore_eta_seconds"] is None, "one of two estimates is unknown"


def test_a_fenced_worker_is_not_ready(worker: ObservedWorker) -> None:
    worker.observer.started()
    worker.observer.assigned([0])
    worker.observer.restored(0, 0, 0.1, 0)
    worker.observer.stopping("another worker took over the transactional id")
    status, body = worker.get("/healthz/ready")
    assert (status, body["reasons"]) == (503, ["stopping: another worker took over the transactional id"])
    assert worker.metric("stream_ready") == {"": 0.0}


def test_a_worker_is_not_ready_while_kafka_is_unavailable(worker: ObservedWorker) -> None:
    worker.observer.started()
    worker.observer.assigned([0])
    worker.observer.restored(0, 0, 0.1, 0)
    worker.observer.waiting(OSError("unreachable"))
    assert worker.get("/healthz/ready")[1]["reasons"] == ["waiting: unreachable"]
    assert worker.metric("stream_broker_away") == {"": 1.0}
    worker.observer.resumed()
    assert worker.get("/healthz/ready")[0] == 200


def test_an_idle_worker_without_a_connection_is_not_ready(worker: ObservedWorker) -> None:
    worker.observer.started()
    worker.observer.assigned([0])
    worker.observer.restored(0, 0, 0.1, 0)
    worker.observer.connected(0)
    assert worker.get("/healthz/ready")[1]["reasons"] == ["no broker is connected"]
    assert worker.metric("stream_broker_away") == {"": 1.0}
    worker.observer.connected(2)
    assert worker.get("/healthz/ready")[0] == 200


def test_in_doubt_partitions_restore_again(worker: ObservedWorker) -> None:
    worker.observer.started()
    worker.observer.assigned([0])
    worker.observer.restored(0, 0, 0.1, 0)
    worker.observer.in_doubt(OSError("no response"))
    assert worker.get("/healthz/ready")[0] == 503
    assert worker.metric("stream_paused_partitions")["restoring"] == 1.0


def test_live_means_that_the_loop_advances(worker: ObservedWorker) -> None:
    worker.observer.ran_once()
    assert worker.get("/healthz/live")[0] == 200
    assert worker.metric("stream_live") == {"": 1.0}
    worker.health.last_run_at -= RUN_ONCE_S_MAX + 1
    status, body = worker.get("/healthz/live")
    assert status == 503
    assert body["last_turn_seconds_ago"] > body["turn_seconds_max"] == RUN_ONCE_S_MAX
    assert "the log event `loop hangs`" in body["reason"]
    assert worker.metric("stream_live") == {"": 0.0}


def test_a_commit_updates_every_metric_of_transactions(worker: ObservedWorker) -> None:
    worker.observer.committed(
        Committed(5, 40, 3, {"bad-json": 2}, 7, {0: 5}, {"process": 0.1, "transaction": 0.2})
    )
    assert worker.metric("stream_records_total") == {"": 5.0}
    assert worker.metric("stream_words_total") == {"": 40.0}
    assert worker.metric("stream_results_total") == {"": 3.0}
    assert worker.metric("stream_dead_letters_total")["bad-json"] == 2.0
    assert worker.metric("stream_changelog_records_total") == {"": 7.0}
    assert worker.metric("stream_transactions_total")["committed"] == 1.0
    phases = worker.metric("stream_batch_phase_seconds_count")
    assert {name for name, n in phases.items() if n == 1} == {"process", "transaction"}
    assert worker.metric("stream_batch_size_records_sum") == {"": 5.0}
    assert worker.metric("stream_loop_seconds_total") == {"process": 0.1, "transaction": 0.2}
    assert worker.metric("stream_last_commit_timestamp_seconds")[""] == pytest.approx(time.time(), abs=10)


def test_an_unknown_path_lists_the_known_paths(worker: ObservedWorker) -> None:
    status, body = worker.get("/")
    assert status == 404
    assert "/healthz/ready" in body["paths"]


def test_a_port_in_use_is_a_clear_error() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(Misconfigured, match=f"cannot listen on 127.0.0.1:{port}"):
            TelemetryServer("127.0.0.1", port, Metrics(), Health(), SystemClock())


def test_a_silent_connection_does_not_block_requests_or_close(worker: ObservedWorker) -> None:
    with socket.create_connection(("127.0.0.1", worker.server.port)):
        assert worker.get("/healthz/live")[0] == 200
        worker.server.close()
