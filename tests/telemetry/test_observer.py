import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream.errors import Misconfigured
from stream.ports import Committed
from stream.telemetry.health import LIVE_S_MAX, Health
from stream.telemetry.instrumented import Instruments
from stream.telemetry.lag import Lag
from stream.telemetry.metrics import Metrics
from stream.telemetry.observer import WorkerObserver
from stream.telemetry.server import TelemetryServer
from stream.worker.clock import SystemClock


class Bench:
    def __init__(self) -> None:
        self.health, metrics, clock = Health(), Metrics(), SystemClock()
        watch = Instruments(metrics, Lag(clock), clock)
        self.observer = WorkerObserver(metrics, self.health, clock, watch, group="g")
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
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.server.close()


def test_ready_says_why_not_until_every_partition_runs(bench: Bench) -> None:
    assert bench.get("/healthz/ready") == (503, {"ready": False, "reasons": ["not joined yet"]})
    bench.observer.started()
    assert bench.get("/healthz/ready")[1]["reasons"] == ["no partition assigned"]
    bench.observer.assigned([0, 1])
    bench.observer.restoring(0, 5, 20)
    assert bench.get("/healthz/ready")[1]["reasons"][0] == "partition 0 restoring, 15 offsets remain"
    started = bench.get("/healthz/started")[1]
    assert (started["started"], started["joined"], started["restore_remaining_offsets"]) == (False, True, 15)
    assert started["restoring"][0] == {"partition": 0, "remaining_offsets": 15, "eta_seconds": None}
    bench.observer.restored(0, 20, 0.1, 3)
    bench.observer.blocked(1, "counts has 1 partition", "anagram-stream topics create")
    assert bench.get("/healthz/ready")[1]["reasons"] == ["partition 1 blocked: counts has 1 partition"]
    bench.observer.restored(1, 0, 0.1, 0)
    assert bench.get("/healthz/ready") == (200, {"ready": True, "reasons": []})
    assert bench.get("/healthz/started")[0] == 200


def test_started_says_when_the_restore_will_be_done(bench: Bench) -> None:
    bench.observer.assigned([0, 1])
    bench.observer.restoring(0, 100, 1_000)
    restoring = bench.health.restoring[0]
    bench.observer.restoring(0, 400, 1_000)
    restoring.moved_s = restoring.began_s + 3  # 300 offsets in 3 s: 600 remain
    bench.health.runs(1)
    answer = bench.get("/healthz/started")[1]
    assert answer["restoring"] == [{"partition": 0, "remaining_offsets": 600, "eta_seconds": 6.0}]
    assert (answer["restore_remaining_offsets"], answer["restore_eta_seconds"]) == (600, 6.0)
    bench.health.in_doubt(0)
    assert bench.get("/healthz/started")[1]["restore_eta_seconds"] is None, "one of two is not known"


def test_a_worker_that_is_fenced_says_so(bench: Bench) -> None:
    bench.observer.started()
    bench.observer.assigned([0])
    bench.observer.restored(0, 0, 0.1, 0)
    bench.observer.stopping("another worker took over our transactional id")
    status, body = bench.get("/healthz/ready")
    assert (status, body["reasons"]) == (503, ["stopping: another worker took over our transactional id"])
    assert bench.metric("stream_ready") == {"": 0.0}


def test_a_broker_that_is_away_is_not_ready_until_it_is_back(bench: Bench) -> None:
    bench.observer.started()
    bench.observer.assigned([0])
    bench.observer.restored(0, 0, 0.1, 0)
    bench.observer.waiting(OSError("away"))
    assert bench.get("/healthz/ready")[1]["reasons"] == ["waiting: away"]
    assert bench.metric("stream_broker_away") == {"": 1.0}
    bench.observer.resumed()
    assert bench.get("/healthz/ready")[0] == 200


def test_an_idle_worker_without_a_connection_is_not_ready(bench: Bench) -> None:
    bench.observer.started()
    bench.observer.assigned([0])
    bench.observer.restored(0, 0, 0.1, 0)
    bench.observer.connected(0)
    assert bench.get("/healthz/ready")[1]["reasons"] == ["no broker is connected"]
    assert bench.metric("stream_broker_away") == {"": 1.0}
    bench.observer.connected(2)
    assert bench.get("/healthz/ready")[0] == 200


def test_in_doubt_partitions_restore_again(bench: Bench) -> None:
    bench.observer.started()
    bench.observer.assigned([0])
    bench.observer.restored(0, 0, 0.1, 0)
    bench.observer.in_doubt(OSError("lost answer"))
    assert bench.get("/healthz/ready")[0] == 503
    assert bench.metric("stream_paused_partitions")["restoring"] == 1.0


def test_live_is_a_loop_that_turns(bench: Bench) -> None:
    bench.observer.ran_once()
    assert bench.get("/healthz/live")[0] == 200
    assert bench.metric("stream_live") == {"": 1.0}
    bench.health.turned -= LIVE_S_MAX + 1
    status, body = bench.get("/healthz/live")
    assert status == 503
    assert body["last_turn_seconds_ago"] > body["turn_seconds_max"] == LIVE_S_MAX
    assert "stands is in the log" in body["reason"]
    assert bench.metric("stream_live") == {"": 0.0}


def test_a_commit_is_counted_in_every_metric_of_it(bench: Bench) -> None:
    bench.observer.committed(
        Committed(5, 40, 3, {"bad-json": 2}, 7, {0: 5}, {"process": 0.1, "transaction": 0.2})
    )
    assert bench.metric("stream_records_total") == {"": 5.0}
    assert bench.metric("stream_words_total") == {"": 40.0}
    assert bench.metric("stream_results_total") == {"": 3.0}
    assert bench.metric("stream_dead_letters_total")["bad-json"] == 2.0
    assert bench.metric("stream_changelog_records_total") == {"": 7.0}
    assert bench.metric("stream_transactions_total")["committed"] == 1.0
    phases = bench.metric("stream_batch_phase_seconds_count")
    assert {name for name, n in phases.items() if n == 1} == {"process", "transaction"}
    assert bench.metric("stream_batch_size_records_sum") == {"": 5.0}
    assert bench.metric("stream_loop_seconds_total") == {"process": 0.1, "transaction": 0.2}
    assert bench.metric("stream_last_commit_timestamp_seconds")[""] == pytest.approx(time.time(), abs=10)


def test_unknown_path_says_which_there_are(bench: Bench) -> None:
    status, body = bench.get("/")
    assert status == 404
    assert "/healthz/ready" in body["paths"]


def test_a_given_port_that_is_taken_is_a_clear_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=f"cannot listen on 127.0.0.1:{port}"):
            TelemetryServer("127.0.0.1", port, Metrics(), Health(), SystemClock())


def test_a_connection_that_says_nothing_holds_up_nobody(bench: Bench) -> None:
    with socket.create_connection(("127.0.0.1", bench.server.port)):
        assert bench.get("/healthz/live")[0] == 200
        bench.server.close()
