"""One HTTP port for several worker processes: queries each private socket and merges the responses.

It runs in its own process, because the supervisor forks and so must not have threads.
"""

import http.client
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import orjson
from prometheus_client import CollectorRegistry, Metric, make_wsgi_app
from prometheus_client.registry import Collector

from stream.supervisor.merge import (
    HAS_ENDED,
    ProbeAnswer,
    ProbeAnswers,
    all_live,
    all_ready,
    all_started,
    merge_expositions,
)
from stream.supervisor.shared_state import SharedState
from stream.telemetry.listening import Server
from stream.telemetry.metrics import process_metrics

REQUEST_TIMEOUT_S = 1.0  # a process that exceeds it is reported as not responding
CONCURRENT_REQUESTS_MAX = 64
_OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_OK, _UNAVAILABLE, _NOT_FOUND = "200 OK", "503 Service Unavailable", "404 Not Found"
_PROBES: Mapping[str, Callable[[ProbeAnswers], ProbeAnswer]] = {
    "/healthz/started": all_started,
    "/healthz/ready": all_ready,
    "/healthz/live": all_live,
}


class MetricsAggregator(Collector):
    """A WSGI application: `/metrics` and the probes of all worker processes."""

    def __init__(self, shared_state: SharedState) -> None:
        self._shared_state = shared_state
        self._pool = ThreadPoolExecutor(CONCURRENT_REQUESTS_MAX, "request")
        registry = CollectorRegistry()
        registry.register(self)
        self._metrics_app = make_wsgi_app(registry)

    def serve(self, listener: socket.socket) -> None:
        """Serve on a listening socket until the process ends."""
        Server(listener, self).serve_forever()

    def collect(self) -> Iterator[Metric]:
        answers = self._request_all("/metrics")
        up = {process: answer is not None for process, answer in answers.items()}
        yield from process_metrics(up, self._shared_state.restarts())
        yield from merge_expositions(
            {process: body.decode() for process, answer in answers.items() if answer for _, body in [answer]}
        )

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if path == "/metrics":
            return cast("Iterable[bytes]", self._metrics_app(environ, start_response))
        if path in _PROBES:
            responses = self._request_all(path)
            answers = {
                process: response and _to_probe_answer(*response) for process, response in responses.items()
            } | dict.fromkeys(self._shared_state.ended(), HAS_ENDED)
            merged = _PROBES[path](answers)
            status, body = _OK if merged.ok else _UNAVAILABLE, merged.body
        else:
            status, body = _NOT_FOUND, {"paths": ["/metrics", *_PROBES]}
        start_response(status, [("Content-Type", "application/json")])
        return [orjson.dumps(body)]

    def _request_all(self, path: str) -> dict[str, tuple[int, bytes] | None]:
        """Request a path from all processes at once; None for a process that does not respond in time."""
        sockets = self._shared_state.socket_paths()
        responses = self._pool.map(lambda socket_path: _request(socket_path, path), sockets.values())
        return dict(zip(sockets, responses, strict=True))


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=REQUEST_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _request(socket_path: Path, path: str) -> tuple[int, bytes] | None:
    connection = _UnixConnection(socket_path)
    try:
        connection.request("GET", path, headers={"Accept": _OPENMETRICS})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _to_probe_answer(status: int, body: bytes) -> ProbeAnswer:
    return ProbeAnswer(status == http.HTTPStatus.OK, orjson.loads(body))
