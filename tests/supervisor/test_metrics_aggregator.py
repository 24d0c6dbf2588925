import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream.supervisor.metrics_aggregator import MetricsAggregator
from stream.telemetry.health import Health
from stream.telemetry.instrumented import Instruments
from stream.telemetry.lag import Lag
from stream.telemetry.listening import Server, listen
from stream.telemetry.metrics import Metrics
from stream.telemetry.observer import WorkerObserver
from stream.telemetry.server import TelemetryServer
from stream.worker.clock import SystemClock


class Told:
    """Two processes, whose sockets lie in a folder."""

    def __init__(self, folder: Path) -> None:
        self.paths = {"0": folder / "0", "1": folder / "1"}

    def sockets(self) -> Mapping[str, Path]:
        return self.paths

    def restarts(self) -> Mapping[str, int]:
        return {"0": 0, "1": 2}


class Process:
    """What a worker process serves on its private socket."""

    def __init__(self, path: Path) -> None:
        self.metrics, self.health, clock = Metrics(), Health(), SystemClock()
        watch = Instruments(self.metrics, Lag(clock), clock)
        self.observer = WorkerObserver(self.metrics, self.health, clock, watch)
        self.server = TelemetryServer(str(path), 0, self.metrics, self.health, clock)

    def run(self, *partitions: int) -> None:
        self.observer.started()
        for partition in partitions:
            self.observer.assigned([partition])
            self.observer.restored(partition, 0, 0.0, 0)
        self.observer.turned()


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


@pytest.fixture
def front(told: Told) -> Iterator[str]:
    server = Server(listen("127.0.0.1", 0), MetricsAggregator(told))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def processes(told: Told) -> Iterator[list[Process]]:
    processes = [Process(path) for path in told.paths.values()]
    yield processes
    for process in processes:
        process.server.close()


def get(address: str) -> tuple[int, Any]:
    try:
        with urlopen(address) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def samples(front: str, name: str) -> dict[str, float]:
    with urlopen(f"{front}/metrics") as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {
        sample.labels["process"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def test_one_scrape_shows_all_processes(front: str, processes: list[Process]) -> None:
    processes[0].metrics.words.inc(3)
    processes[1].metrics.words.inc(4)
    assert samples(front, "stream_words_total") == {"0": 3, "1": 4}
    assert samples(front, "stream_process_up") == {"0": 1, "1": 1}
    assert samples(front, "stream_process_restarts_total") == {"0": 0, "1": 2}


def test_a_process_that_does_not_answer_is_left_out_and_seen(
    front: str, told: Told, processes: list[Process], tmp_path: Path
) -> None:
    processes[0].run(0)
    told.paths["1"] = tmp_path / "silent"
    with listen(str(told.paths["1"]), 0):  # takes connections and says nothing, as a stopped process does
        began = time.monotonic()
        assert samples(front, "stream_process_up") == {"0": 1, "1": 0}
        assert set(samples(front, "stream_words_total")) == {"0"}
        assert time.monotonic() - began < 5
    told.paths["1"] = tmp_path / "gone"
    assert samples(front, "stream_process_up") == {"0": 1, "1": 0}
    for probe in ("started", "ready", "live"):
        status, body = get(f"{front}/healthz/{probe}")
        assert (status, body["reasons"]) == (503, ["process 1: does not answer"])


def test_ready_when_every_process_is(front: str, processes: list[Process]) -> None:
    processes[0].run(0, 1)
    status, body = get(f"{front}/healthz/ready")
    assert (status, body["reasons"]) == (503, ["process 1: not joined yet"])
    processes[1].run(2)
    assert get(f"{front}/healthz/ready") == (
        200,
        {
            "ready": True,
            "reasons": [],
            "processes": {"0": {"ready": True, "reasons": []}, "1": {"ready": True, "reasons": []}},
        },
    )
    assert get(f"{front}/healthz/started")[0] == get(f"{front}/healthz/live")[0] == 200
    processes[1].observer.stopping("drained")
    assert get(f"{front}/healthz/ready")[1]["reasons"] == ["process 1: stopping: drained"]


def test_before_it_is_known_how_many_there_are_it_is_not_ready(front: str, told: Told) -> None:
    told.paths.clear()
    assert get(f"{front}/healthz/ready") == (
        503, {"ready": False, "reasons": ["starting"], "processes": {}}
    )  # fmt: skip


def test_unknown_path_says_which_paths_there_are(front: str) -> None:
    status, body = get(f"{front}/")
    assert (status, body["paths"][0]) == (404, "/metrics")


def test_a_successor_takes_the_socket_of_a_killed_process(tmp_path: Path) -> None:
    with listen(str(tmp_path / "0"), 0):
        pass  # the file stays, as after a kill -9
    Process(tmp_path / "0").server.close()


def test_an_address_of_ipv6() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        listener = listen("::1", 0)
    except OSError:
        pytest.skip("no IPv6 loopback here")
    with listener:
        assert listener.getsockname()[1] > 0
