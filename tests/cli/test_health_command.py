"""The image's health check returns the worker's response on any port; other commands are healthy."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from threading import Thread
from typing import Any

import psutil
import pytest
from cli.running import Cli
from support.topics import settings_of, wait_until

from stream.telemetry.listening import Server, listen
from stream.tools import health_check
from stream.tools.health_check import NO_WORKER, check_health, subcommand

Serve = Callable[..., int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve a worker's probe in this process; return the port."""
    servers: list[Server] = []

    def run(status: str = "200 OK", host: str = "127.0.0.1") -> int:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
            start_response(status if environ["PATH_INFO"] == "/healthz/live" else "404 Not Found", [])
            return [b'{"live": "as said"}']

        server = Server(listen(host, 0), app)
        servers.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
        return server.server_port

    yield run
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> list[psutil.Process]:
    """The running workers: only this process, not workers of other programs on this machine."""
    running = [psutil.Process()]
    monkeypatch.setattr(health_check, "_workers", lambda: running)
    return running


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("/opt/venv/bin/python /opt/venv/bin/anagram-stream worker", "worker"),
        ("/sbin/docker-init -- anagram-stream worker --processes 2", "worker"),
        ("python -m stream worker", "worker"),
        ("python /venv/bin/anagram-stream verify --follow", "verify"),
        ("anagram-stream lag --follow", "lag"),
        ("anagram-stream", ""),
        ("python -m stream.tools.health_check", None),
        ("stream worker", None),
        ("sh -c worker", None),
        ("", None),
    ],
)
def test_command_line_of_a_worker_is_recognized(command: str, expected: str | None) -> None:
    assert subcommand(command.split()) == expected


@pytest.mark.usefixtures("workers")
@pytest.mark.parametrize(("status", "healthy"), [("200 OK", True), ("503 Service Unavailable", False)])
@pytest.mark.parametrize("is_configured", [True, False])
def test_worker_is_checked_at_its_port_whether_configured_or_any_free_one(
    serve: Serve,
    status: str,
    healthy: bool,  # noqa: FBT001
    is_configured: bool,  # noqa: FBT001
) -> None:
    port = serve(status)
    settings = settings_of({"STREAM_HTTP_PORT": str(port if is_configured else 0)})
    assert check_health(settings) == (healthy, '{"live": "as said"}')


@pytest.mark.usefixtures("workers")
@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_worker_that_listens_on_all_addresses_is_checked_at_the_local_one(serve: Serve, host: str) -> None:
    settings = settings_of({"STREAM_HTTP_PORT": str(serve(host=host)), "STREAM_HTTP_HOST": host})
    assert check_health(settings)[0]


@pytest.mark.usefixtures("workers")
def test_worker_that_does_not_respond_is_unhealthy() -> None:
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    healthy, why = check_health(settings_of({"STREAM_HTTP_PORT": str(port)}))
    assert not healthy
    assert f"nothing responds at 127.0.0.1:{port}" in why
    assert check_health(settings_of({})) == (
        False, f"a worker is running (process {psutil.Process().pid}), but does not listen on a port yet"
    )  # fmt: skip


def test_command_without_probes_is_healthy(workers: list[psutil.Process]) -> None:
    workers.clear()
    assert check_health(settings_of({"STREAM_HTTP_PORT": "1"})) == (True, NO_WORKER)


def test_command_prints_the_response_of_the_worker(
    cli: Cli, serve: Serve, workers: list[psutil.Process]
) -> None:
    port = serve("503 Service Unavailable")
    done = cli("health", env={"STREAM_HTTP_PORT": str(port)})
    assert (done.status, done.out) == (1, '{"live": "as said"}\n')
    workers.clear()
    assert cli("health").status == 0


def start(*command: str) -> "subprocess.Popen[bytes]":
    """Start an idle process whose command line looks like ours."""
    code = (
        "import subprocess, sys; subprocess.Popen(sys.argv[3:]).wait() if sys.argv[3:] else sys.stdin.read()"
    )
    return subprocess.Popen([sys.executable, "-c", code, *command], stdin=subprocess.PIPE)


def workers_of(pids: Sequence[int]) -> list[int]:
    return [process.pid for process in health_check._workers() if process.pid in pids]


def test_workers_are_found_except_those_that_another_command_started() -> None:
    with start("anagram-stream", "worker") as own:
        wait_until(lambda: workers_of([own.pid]), 10)
        own.kill()
    nested = [sys.executable, "-c", "import sys; sys.stdin.read()", "anagram-stream", "worker"]
    with start("anagram-stream", "chaos", *nested) as chaos:
        wait_until(lambda: psutil.Process(chaos.pid).children(), 10)
        (child,) = psutil.Process(chaos.pid).children()
        wait_until(lambda: subcommand(child.cmdline()) == "worker", 10)
        assert not workers_of([child.pid])
        child.kill()
        chaos.kill()
