"""One port for several worker processes: asks each on its private socket, and answers for all.

It runs in a process of its own: the supervisor forks, and so may have no threads.
"""

import http.client
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, cast

import orjson
from prometheus_client import CollectorRegistry, Metric, make_wsgi_app
from prometheus_client.registry import Collector

from stream.supervisor.merge import Answers, Probed, all_live, all_ready, all_started, merged
from stream.telemetry.listening import Server
from stream.telemetry.metrics import of_processes

REQUEST_TIMEOUT_S = 1.0  # who takes longer is left out
ASKED_AT_ONCE = 64
_OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_OK, _AWAY, _UNKNOWN = "200 OK", "503 Service Unavailable", "404 Not Found"
_PROBES: Mapping[str, Callable[[Answers], Probed]] = {
    "/healthz/started": all_started,
    "/healthz/ready": all_ready,
    "/healthz/live": all_live,
}


class Processes(Protocol):
    """What the front is told of the worker processes."""

    def sockets(self) -> Mapping[str, Path]:
        """Return where each of them answers, by name; none before it is known how many there are."""
        ...

    def restarts(self) -> Mapping[str, int]:
        """Return how often each was started again."""
        ...


class MetricsAggregator(Collector):
    """Serves `/metrics` and the probes of all."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._pool = ThreadPoolExecutor(ASKED_AT_ONCE, "ask")
        registry = CollectorRegistry()
        registry.register(self)
        self._metrics_app = make_wsgi_app(registry)

    def serve(self, listener: socket.socket) -> None:
        """Serve on a socket that listens, as long as the process lives."""
        Server(listener, self).serve_forever()

    def collect(self) -> Iterator[Metric]:
        """Ask all for their metrics, and merge them."""
        answers = self._ask("/metrics")
        up = {process: answer is not None for process, answer in answers.items()}
        yield from of_processes(up, self._processes.restarts())
        yield from merged(
            {process: body.decode() for process, answer in answers.items() if answer for _, body in [answer]}
        )

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request."""
        path = environ.get("PATH_INFO", "/")
        if path == "/metrics":
            return cast("Iterable[bytes]", self._metrics_app(environ, start_response))
        if path in _PROBES:
            asked = self._ask(path)
            answers = {process: answer and _probed(*answer) for process, answer in asked.items()}
            probed = _PROBES[path](answers)
            status, body = _OK if probed.ok else _AWAY, probed.body
        else:
            status, body = _UNKNOWN, {"paths": ["/metrics", *_PROBES]}
        start_response(status, [("Content-Type", "application/json")])
        return [orjson.dumps(body)]

    def _ask(self, path: str) -> dict[str, tuple[int, bytes] | None]:
        """Ask all at once; None for who does not answer in time."""
        sockets = self._processes.sockets()
        answers = self._pool.map(lambda where: _fetch(where, path), sockets.values())
        return dict(zip(sockets, answers, strict=True))


class _Connection(http.client.HTTPConnection):
    """HTTP through a socket in the file system."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=REQUEST_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _fetch(where: Path, path: str) -> tuple[int, bytes] | None:
    connection = _Connection(where)
    try:
        connection.request("GET", path, headers={"Accept": _OPENMETRICS})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _probed(status: int, body: bytes) -> Probed:
    return Probed(status == http.HTTPStatus.OK, orjson.loads(body))
