"""docker-compose.yml as users run it, without Grafana: profiles, up, results, a killed worker, down."""

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
from confluent_kafka import Producer
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]
from support.ops import PROMETHEUS, ROOT, alerts, image, names_in, queries, rules
from support.release import IMAGE, built_image
from support.topics import wait_until

from stream.config import Settings
from stream.kafka import clients

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

USERS_TEST = ROOT / "tests/ops/own_pipeline.py"
CORE = {"kafka", "topics", "worker", "generator", "audit", "serve"}
MONITORING = {"prometheus", "grafana"}
TOOLS = {"kafka-ui"}
SERVICES = sorted({*CORE, *MONITORING} - {"grafana"})  # nothing depends on Grafana
# Panels that are empty unless something is wrong: their metrics must exist, and their queries must be valid.
SHOWS_TROUBLE = {"Firing alerts", "Unreported lag", "Rebalance callbacks, 99 %", "Restore, 95 %"}
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
        """Run a command on the host against the stack's Kafka; it must succeed."""
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
    return built_image()


@pytest.fixture(scope="module")
def stack(built: str) -> Iterator[Stack]:
    from testcontainers.compose import DockerCompose  # noqa: PLC0415 - needs a Docker engine

    for name in ("apache/kafka:4.4.0", PROMETHEUS):
        if not image(name, pull=True):
            pytest.skip(f"the image {name} is not available")
    kafka, prometheus, serve = free_port(), free_port(), free_port()
    project = f"anagram-stream-test-{os.getpid()}"
    environment = {
        "COMPOSE_PROJECT_NAME": project,
        "ANAGRAM_STREAM_IMAGE": built,
        "KAFKA_PORT": str(kafka),
        "PROMETHEUS_PORT": str(prometheus),
        "SERVE_PORT": str(serve),
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
        assert not stack.ids(kind), f"`down -v` left something behind: {kind}"


def _has_result(stack: Stack) -> bool:
    try:
        return bool(stack.anagram_stream("results", "--limit", "1", "--format", "json"))
    except AssertionError:
        return False


def configured(*profiles: str) -> dict[str, Any]:
    """Return the services that `docker compose up` starts with these profiles; this needs no image."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker Compose")
    chosen = [option for profile in profiles for option in ("--profile", profile)]
    foreign = ("COMPOSE_PROFILES", "COMPOSE_FILE")
    env = {name: value for name, value in os.environ.items() if name not in foreign}
    command = ["docker", "compose", *chosen, "config", "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    return services


@pytest.mark.parametrize(
    ("profiles", "services"),
    [
        ((), CORE | MONITORING),
        (("core",), CORE),
        (("monitoring",), CORE | MONITORING),
        (("tools",), CORE | TOOLS),
        (("core", "tools"), CORE | TOOLS),
        (("monitoring", "tools"), CORE | MONITORING | TOOLS),
        (("*",), CORE | MONITORING | TOOLS),
    ],
)
def test_a_profile_starts_its_services_and_no_profile_those_of_core_and_monitoring(
    profiles: tuple[str, ...], services: set[str]
) -> None:
    assert configured(*profiles).keys() == services


def test_the_kafka_ui_reads_what_is_committed_and_changes_nothing() -> None:
    environment = configured("tools")["kafka-ui"]["environment"]
    assert environment["KAFKA_CLUSTERS_0_CONSUMERPROPERTIES_ISOLATION_LEVEL"] == "read_committed"
    assert environment["KAFKA_CLUSTERS_0_READONLY"] == "true"


def test_every_port_is_published_only_on_this_machine() -> None:
    ports = [port for service in configured("*").values() for port in service.get("ports", [])]
    assert len(ports) == 5
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}


def test_data_flow_within_a_minute_and_prometheus_scrapes_all(stack: Stack) -> None:
    print(f"\nfrom `up` to the first committed result: {stack.first_result_s:.1f} s")  # noqa: T201
    wait_until(lambda: stack.value('sum(up{job="anagram-stream"})') == 2, 60)
    wait_until(lambda: stack.value('sum(up{job="anagram-stream-audit"})') == 1, 60)
    wait_until(lambda: stack.value('sum(up{job="anagram-stream-serve"})') == 1, 60)
    wait_until(lambda: stack.value("sum(stream_view_words)") > 0, 60)
    wait_until(lambda: stack.value("sum(stream_ready)") == 4, 60)
    stack.anagram_stream("doctor")


def test_every_query_of_every_panel_and_alert_finds_data(stack: Stack) -> None:
    producer = Producer({"bootstrap.servers": stack.kafka})
    producer.produce("text-blobs", b"\xff", key="not UTF-8")  # otherwise there are no dead letters to show
    assert producer.flush(30) == 0

    def empty() -> list[str]:
        return [
            location
            for location, query in queries()
            if location.split(" / ")[1] not in SHOWS_TROUBLE
            and not stack.query_api("query", query=query)["result"]
        ]

    wait_until(lambda: not empty(), 90, every=3)
    known = set(stack.query_api("label/__name__/values"))
    trouble = {query for location, query in queries() if location.split(" / ")[1] in SHOWS_TROUBLE}
    assert len(trouble) == len(SHOWS_TROUBLE)
    for query in trouble:
        assert names_in(query) <= known, query
        stack.query_api("query", query=query)
    assert len(list(queries())) > 70
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


def test_a_killed_container_causes_a_short_delay_and_no_loss(stack: Stack) -> None:
    victim = stack.containers("worker")[0]
    subprocess.run(["docker", "kill", "--signal", "KILL", victim], capture_output=True, check=True)
    killed = time.monotonic()

    def all_moved() -> bool:
        lags = stack.lag()
        hosts = {lag["host"] for lag in lags}
        return len(hosts) == 1 and None not in hosts and all(lag["lag"] < 400 for lag in lags)

    wait_until(all_moved, 35, every=0.5)  # well below Kafka's default session timeout of 45 s
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


def test_another_up_adds_the_partitions_that_the_input_has(stack: Stack) -> None:
    admin = clients.make_admin(Settings(_env_file=None, bootstrap_servers=stack.kafka))
    admin.create_partitions([NewPartitions("text-blobs", 8)])["text-blobs"].result(30)
    command = ["docker", "compose", "up", "--detach", "--no-build", *SERVICES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr

    def all_counted() -> bool:
        lags = stack.lag()
        return len(lags) == 8 and all(lag["current_offset"] is not None for lag in lags)

    wait_until(all_counted, 60, every=0.5)
    stack.anagram_stream("doctor")


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
        ),  # the service link of a Service `stream-http`: the worker then uses any free port
        ("verify --follow", "29078", "no worker is running here"),
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
        assert time.monotonic() - stopped_at < 15, "it was killed after the grace period"


def test_the_test_in_the_documentation_passes(built: str) -> None:
    from testcontainers.core.config import testcontainers_config as config  # noqa: PLC0415 - needs Docker

    if not config.ryuk_disabled and not image(config.ryuk_image, pull=True):
        pytest.skip(f"the image {config.ryuk_image} is not available (TESTCONTAINERS_RYUK_DISABLED?)")
    subprocess.run(["docker", "tag", built, "anagram-stream:local"], check=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(USERS_TEST)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_the_documentation_shows_that_test() -> None:
    page = ROOT / "docs/how-to/test-your-code.md"
    assert f"```python\n{USERS_TEST.read_text()}```" in page.read_text()
