"""docker-compose.yml as users run it, except Grafana: up, results, a killed worker, down, nothing left."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]
from support.ops import PROMETHEUS, ROOT, alerts, docker, image, names_in, queries, rules
from support.topics import wait_until

from stream.config import Settings
from stream.kafka import clients

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

USERS_TEST = ROOT / "tests/ops/own_pipeline.py"
IMAGE = "anagram-stream:test"
SERVICES = ["kafka", "topics", "worker", "generator", "audit", "prometheus"]
UP_S_MAX = 60.0  # from `up` to the first committed result


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Stack:
    project: str
    kafka: str
    prometheus: str
    first_result_s: float = 0.0

    def anagram_stream(self, *command: str) -> str:
        """Run a command here, against the stack's Kafka; it must succeed."""
        base = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_")}
        done = subprocess.run(
            [sys.executable, "-m", "stream", *command],
            env={**base, "STREAM_BOOTSTRAP_SERVERS": self.kafka},
            capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def query_api(self, path: str, **parameters: str) -> Any:
        with urlopen(f"{self.prometheus}/api/v1/{path}?{urlencode(parameters)}", timeout=10) as response:
            return json.loads(response.read())["data"]

    def value(self, query: str) -> float:
        series = self.query_api("query", query=query)["result"]
        return float(series[0]["value"][1]) if series else 0.0

    def ids(self, kind: str) -> list[str]:
        label = f"label=com.docker.compose.project={self.project}"
        command = ["docker", *kind.split(), "--filter", label, "-q"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    def containers(self, service: str) -> list[str]:
        return self.ids(f"ps --filter label=com.docker.compose.service={service}")

    def lag(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.anagram_stream("lag", "--format", "json").splitlines()]


@pytest.fixture(scope="module")
def built() -> str:
    """The image, built from this checkout."""
    if not docker():
        pytest.skip("no Docker engine")
    if not image("python:3.11-slim-bookworm", pull=True):
        pytest.skip("the image python:3.11-slim-bookworm is not available")
    done = subprocess.run(
        ["docker", "build", "--network", "host", "-t", IMAGE, "-f", "ops/docker/Dockerfile", "."],
        cwd=ROOT, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return IMAGE


@pytest.fixture(scope="module")
def stack(built: str) -> Iterator[Stack]:
    from testcontainers.compose import DockerCompose  # noqa: PLC0415 - needs a Docker engine

    for name in ("apache/kafka:4.4.0", PROMETHEUS):
        if not image(name, pull=True):
            pytest.skip(f"the image {name} is not available")
    kafka, prometheus = free_port(), free_port()
    project = f"anagram-stream-test-{os.getpid()}"
    environment = {
        "COMPOSE_PROJECT_NAME": project,
        "ANAGRAM_STREAM_IMAGE": built,
        "KAFKA_PORT": str(kafka),
        "PROMETHEUS_PORT": str(prometheus),
        "PROMETHEUS_TAG": PROMETHEUS.partition(":")[2],
        "RATE": "200",
    }
    compose = DockerCompose(ROOT, services=SERVICES, wait=False, pull=False, build=False)
    stack = Stack(project, f"localhost:{kafka}", f"http://localhost:{prometheus}")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        started = time.monotonic()
        with compose:
            wait_until(lambda: _has_result(stack), UP_S_MAX, every=0.5)
            stack.first_result_s = time.monotonic() - started
            yield stack
    for kind in ("ps -a", "volume ls", "network ls"):
        assert not stack.ids(kind), f"`down -v` left something: {kind}"


def _has_result(stack: Stack) -> bool:
    try:
        return bool(stack.anagram_stream("results", "--limit", "1", "--format", "json"))
    except AssertionError:
        return False


def test_data_flow_within_a_minute_and_prometheus_scrapes_all(stack: Stack) -> None:
    print(f"\nfrom `up` to the first committed result: {stack.first_result_s:.1f} s")  # noqa: T201
    wait_until(lambda: stack.value('sum(up{job="anagram-stream"})') == 2, 60)
    wait_until(lambda: stack.value('sum(up{job="anagram-stream-audit"})') == 1, 60)
    wait_until(lambda: stack.value("sum(stream_ready)") == 4, 60)
    stack.anagram_stream("doctor")


def test_every_query_of_every_panel_and_alert_finds_data(stack: Stack) -> None:
    def empty() -> list[str]:
        return [
            location for location, query in queries() if not stack.query_api("query", query=query)["result"]
        ]

    wait_until(lambda: not empty(), 90, every=3)
    assert len(list(queries())) > 70
    known = set(stack.query_api("label/__name__/values"))
    queried = {name for rule in rules() for name in names_in(rule["expr"])}
    assert queried <= known
    evaluated = {
        rule["name"]: rule["health"]
        for group in stack.query_api("rules")["groups"]
        for rule in group["rules"]
    }
    assert set(evaluated.values()) == {"ok"}
    assert {alert["alert"] for alert in alerts()} <= evaluated.keys()
    assert not [each for each in stack.query_api("alerts")["alerts"] if each["state"] == "firing"]


def test_a_killed_container_costs_seconds_and_no_record(stack: Stack) -> None:
    victim = stack.containers("worker")[0]
    subprocess.run(["docker", "kill", "--signal", "KILL", victim], capture_output=True, check=True)
    killed = time.monotonic()

    def all_moved() -> bool:
        lags = stack.lag()
        hosts = {lag["host"] for lag in lags}
        return len(hosts) == 1 and None not in hosts and all(lag["lag"] < 400 for lag in lags)

    wait_until(all_moved, 60, every=0.5)
    took_s = time.monotonic() - killed
    print(f"\nafter kill -9 all partitions moved to the other container and caught up: {took_s:.1f} s")  # noqa: T201
    subprocess.run(["docker", "start", victim], capture_output=True, check=True)
    wait_until(lambda: stack.value("sum(stream_ready)") == 4, 90)
    generators = stack.containers("generator")
    subprocess.run(["docker", "stop", *generators], capture_output=True, check=True)
    wait_until(lambda: all(lag["lag"] == 0 for lag in stack.lag()), 60)
    assert "exactly once" in stack.anagram_stream("verify")
    wait_until(lambda: stack.value("sum(stream_lag_records)") == 0, 30)
    assert stack.value("sum(stream_audit_differences)") == 0


def test_another_up_grows_the_topics_to_a_grown_input(stack: Stack) -> None:
    admin = clients.make_admin(Settings(_env_file=None, bootstrap_servers=stack.kafka))
    admin.create_partitions([NewPartitions("text-blobs", 8)])["text-blobs"].result(30)
    command = ["docker", "compose", "up", "--detach", "--no-build", *SERVICES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    stack.anagram_stream("doctor")
    assert len(stack.lag()) == 8


def inspect(container: str) -> dict[str, Any]:
    done = subprocess.run(["docker", "inspect", container], capture_output=True, check=True)
    containers: list[dict[str, Any]] = json.loads(done.stdout)
    return containers[0]


def is_healthy(container: str) -> bool:
    return bool(inspect(container)["State"]["Health"]["Status"] == "healthy")


@pytest.mark.parametrize(
    ("command", "port", "says"),
    [
        ("worker", "29077", '"live":true'),
        (
            "worker",
            "tcp://10.0.0.1:80",
            '"live":true',
        ),  # of a Service `stream-http`: then it is any free port
        ("verify --follow", "29078", "no worker runs here"),
    ],
)
def test_container_of_any_user_without_a_writable_root_is_healthy_at_its_port(
    stack: Stack, command: str, port: str, says: str
) -> None:
    options = [
        *("--network", "host", "--read-only", "--cap-drop", "ALL", "--user", "1234567:0"),
        *("--env", f"STREAM_BOOTSTRAP_SERVERS={stack.kafka}", "--env", f"STREAM_HTTP_PORT={port}"),
    ]
    started = subprocess.run(
        ["docker", "run", "--detach", *options, IMAGE, *command.split()],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    container = started.stdout.strip()
    try:
        wait_until(partial(is_healthy, container), 60)
        assert says in inspect(container)["State"]["Health"]["Log"][-1]["Output"]
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", container], capture_output=True, check=True)


def test_workers_drain_on_sigterm_without_root_on_a_read_only_file_system(stack: Stack) -> None:
    for container in stack.containers("worker"):
        wait_until(partial(is_healthy, container), 30)
        inspected = inspect(container)
        assert inspected["Config"]["User"] == "10001:10001"
        assert inspected["HostConfig"]["ReadonlyRootfs"] is True
        assert '"live":true' in inspected["State"]["Health"]["Log"][-1]["Output"]
        write = ["docker", "exec", container, "touch", "/opt/anagram-stream/x"]
        assert subprocess.run(write, capture_output=True, check=False).returncode != 0
        stopped_at = time.monotonic()
        subprocess.run(["docker", "stop", container], capture_output=True, check=True)
        assert inspect(container)["State"]["ExitCode"] == 0
        assert time.monotonic() - stopped_at < 15, "it ended by SIGKILL after the grace period"


def test_the_users_own_test_of_the_readme_passes(built: str) -> None:
    from testcontainers.core.config import testcontainers_config as config  # noqa: PLC0415 - the same

    if not config.ryuk_disabled and not image(config.ryuk_image, pull=True):
        pytest.skip(f"the image {config.ryuk_image} is not available (TESTCONTAINERS_RYUK_DISABLED?)")
    subprocess.run(["docker", "tag", built, "anagram-stream:local"], check=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(USERS_TEST)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_the_readme_shows_that_test() -> None:
    assert f"```python\n{USERS_TEST.read_text()}```" in (ROOT / "README.md").read_text()


def test_image_adds_less_than_160_mb_to_its_base(built: str) -> None:
    def size(name: str) -> int:
        command = ["docker", "image", "inspect", "--format", "{{.Size}}", name]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    added = size(built) - size("python:3.11-slim-bookworm")
    print(f"\n{size(built) / 1e6:.0f} MB, of which {added / 1e6:.0f} MB on top of its base")  # noqa: T201
    assert added < 160e6
