import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream.supervisor.merge import ENDED
from stream.supervisor.metrics_aggregator import MetricsAggregator
from stream.supervisor.shared_state import SharedState
from stream.telemetry.health import Health
from stream.telemetry.instrumented import Instruments
from stream.telemetry.lag import Lag
from stream.telemetry.listening import Server, listen
from stream.telemetry.metrics import Metrics
from stream.telemetry.observer import WorkerObserver
from stream.telemetry.server import TelemetryServer
from stream.worker.clock import SystemClock


class Process:
    """Serves the telemetry of a worker process on a private socket."""

    def __init__(self, path: Path) -> None:
        self.metrics, self.health, clock = Metrics(), Health(), SystemClock()
        instruments = Instruments(self.metrics, Lag(clock), clock)
        self.observer = WorkerObserver(self.metrics, self.health, clock, instruments)
        self.server = TelemetryServer(str(path), 0, self.metrics, self.health, clock)

    def run(self, *partitions: int) -> None:
        self.observer.started()
        for partition in partitions:
            self.observer.assigned([partition])
            self.observer.restored(partition, 0, 0.0, 0)
        self.observer.ran_once()


@pytest.fixture
def shared_state(tmp_path: Path) -> SharedState:
    shared_state = SharedState(tmp_path, 2)
    shared_state.set_process_count(2)
    return shared_state


@pytest.fixture
def address(shared_state: SharedState) -> Iterator[str]:
    server = Server(listen("127.0.0.1", 0), MetricsAggregator(shared_state))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def processes(shared_state: SharedState) -> Iterator[list[Process]]:
    processes = [Process(path) for path in shared_state.socket_paths().values()]
    yield processes
    for process in processes:
        process.server.close()


def get(url: str) -> tuple[int, Any]:
    try:
        with urlopen(url) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def samples(address: str, name: str) -> dict[str, float]:
    with urlopen(f"{address}/metrics") as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {
        sample.labels["process"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def test_process_that_ended_for_good_is_reported_as_not_ready_and_does_not_restart_the_others(
    address: str, shared_state: SharedState, processes: list[Process]
) -> None:
    for number, process in enumerate(processes):
        process.run(number)
    processes[1].server.close()
    shared_state.set_ended(1)
    assert get(f"{address}/healthz/live")[0] == get(f"{address}/healthz/started")[0] == 200
    status, body = get(f"{address}/healthz/ready")
    assert (status, body["reasons"]) == (503, [f"process 1: {ENDED}"])
    assert body["processes"]["1"] == {"ended": True, "reasons": [ENDED]}
    assert samples(address, "stream_process_up") == {"0": 1, "1": 0}


def test_the_first_process_that_did_not_end_exports_the_lag_of_the_group(shared_state: SharedState) -> None:
    assert [shared_state.is_first(number) for number in (0, 1)] == [True, False]
    shared_state.set_ended(0)
    assert shared_state.is_first(1)
    assert list(shared_state.ended()) == ["0"]


def test_one_scrape_shows_all_processes(
    address: str, shared_state: SharedState, processes: list[Process]
) -> None:
    for _ in range(2):
        shared_state.count_restart(1)
    processes[0].metrics.words.inc(3)
    processes[1].metrics.words.inc(4)
    assert samples(address, "stream_words_total") == {"0": 3, "1": 4}
    assert samples(address, "stream_process_up") == {"0": 1, "1": 1}
    assert samples(address, "stream_process_restarts_total") == {"0": 0, "1": 2}


def test_a_process_that_does_not_answer_is_left_out_and_reported(
    address: str, shared_state: SharedState, processes: list[Process]
) -> None:
    processes[0].run(0)
    with listen(str(shared_state.socket_path(1)), 0):  # accepts connections but never responds
        began = time.monotonic()
        assert samples(address, "stream_process_up") == {"0": 1, "1": 0}
        assert set(samples(address, "stream_words_total")) == {"0"}
        assert time.monotonic() - began < 5
    shared_state.socket_path(1).unlink()
    assert samples(address, "stream_process_up") == {"0": 1, "1": 0}
    for probe in ("started", "ready", "live"):
        status, body = get(f"{address}/healthz/{probe}")
        assert (status, body["reasons"]) == (503, ["process 1: does not respond"])


def test_the_worker_is_ready_if_every_process_is(address: str, processes: list[Process]) -> None:
    processes[0].run(0, 1)
    status, body = get(f"{address}/healthz/ready")
    assert (status, body["reasons"]) == (503, ["process 1: not joined yet"])
    processes[1].run(2)
    assert get(f"{address}/healthz/ready") == (
        200,
        {
            "ready": True,
            "reasons": [],
            "processes": {"0": {"ready": True, "reasons": []}, "1": {"ready": True, "reasons": []}},
        },
    )
    assert get(f"{address}/healthz/started")[0] == get(f"{address}/healthz/live")[0] == 200
    processes[1].observer.stopping("drained")
    assert get(f"{address}/healthz/ready")[1]["reasons"] == ["process 1: stopping: drained"]


def test_until_the_process_count_is_known_the_worker_is_not_ready(
    address: str, shared_state: SharedState
) -> None:
    shared_state.set_process_count(0)
    assert get(f"{address}/healthz/ready") == (
        503, {"ready": False, "reasons": ["starting"], "processes": {}}
    )  # fmt: skip


def test_an_unknown_path_lists_the_known_paths(address: str) -> None:
    status, body = get(f"{address}/")
    assert (status, body["paths"][0]) == (404, "/metrics")


def test_a_restarted_process_replaces_the_socket_of_its_predecessor(tmp_path: Path) -> None:
    with listen(str(tmp_path / "0"), 0):
        pass  # the file remains, as after kill -9
    Process(tmp_path / "0").server.close()


def test_listens_on_an_ipv6_address() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        listener = listen("::1", 0)
    except OSError:
        pytest.skip("no IPv6 loopback here")
    with listener:
        assert listener.getsockname()[1] > 0
