"""Serves `/metrics` and the three probes on one port."""

import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self, cast

import orjson
from prometheus_client import CollectorRegistry, make_wsgi_app, start_http_server

from stream.errors import Misconfigured
from stream.ports import Clock
from stream.telemetry.health import Health
from stream.telemetry.listening import Server, listen, listening_hint
from stream.telemetry.metrics import Metrics
from stream.telemetry.watchdog import DEFAULT_LIMITS, HangLimits, Watchdog

Answer = tuple[str, dict[str, object]]


class TelemetryServer:
    """Serves until closed, in its own thread. `host` may be the path of a Unix socket."""

    def __init__(  # noqa: PLR0913, PLR0917 - where it listens, and what it serves
        self,
        host: str,
        port: int,
        metrics: Metrics,
        health: Health,
        clock: Clock,
        limits: HangLimits = DEFAULT_LIMITS,
    ) -> None:
        self._metrics_app = make_wsgi_app(metrics.registry)
        self._health = health
        self._clock = clock
        self._run_once_s_max = limits.run_once_s
        metrics.ready.set_function(lambda: not health.reasons_not_ready())
        metrics.live.set_function(lambda: self._live()[0] == _status(ok=True))
        self._watchdog = Watchdog(health, clock, limits)
        try:
            self._server = Server(listen(host, port), self._serve)
        except OSError as error:
            raise not_listening(host, port, error) from error
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="telemetry", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._watchdog.close()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if path == "/metrics":
            return cast("Iterable[bytes]", self._metrics_app(environ, start_response))
        probes: dict[str, Callable[[], Answer]] = {
            "/healthz/started": self._started,
            "/healthz/ready": self._ready,
            "/healthz/live": self._live,
        }
        status, body = (
            probes[path]() if path in probes else ("404 Not Found", {"paths": ["/metrics", *probes]})
        )
        start_response(status, [("Content-Type", "application/json")])
        return [orjson.dumps(body)]

    def _started(self) -> Answer:
        restores = self._health.restores()
        etas = [restore["eta_seconds"] for restore in restores]
        with self._health.lock:
            joined = self._health.started
            remaining = sum(progress.remaining for progress in self._health.restoring.values())
        ok = joined and not restores
        eta = None if None in etas else max(cast("list[float]", etas), default=0.0)
        return _status(ok=ok), {
            "started": ok,
            "joined": joined,
            "restore_remaining_offsets": remaining,
            "restore_eta_seconds": eta,
            "restoring": restores,
        }

    def _ready(self) -> Answer:
        reasons = self._health.reasons_not_ready()
        return _status(ok=not reasons), {"ready": not reasons, "reasons": reasons}

    def _live(self) -> Answer:
        last_run_at = self._health.last_run_at
        ago_s = self._clock.monotonic() - last_run_at if last_run_at else 0.0
        ok = ago_s < self._run_once_s_max
        body: dict[str, object] = {
            "live": ok,
            "last_turn_seconds_ago": round(ago_s, 3),
            "turn_seconds_max": self._run_once_s_max,
        }
        if not ok:
            body["reason"] = "the loop hangs; the log event `loop hangs` contains the stack of every thread"
        return _status(ok=ok), body


def _status(*, ok: bool) -> str:
    return "200 OK" if ok else "503 Service Unavailable"


def serve(host: str, port: int, registry: CollectorRegistry) -> int:
    """Serve the metrics of a registry until the process ends; return the port.

    Raises:
        Misconfigured: the process cannot listen there.
    """
    try:
        server, _ = start_http_server(port, host, registry)
    except OSError as error:
        raise not_listening(host, port, error) from error
    return server.server_port


def not_listening(host: str, port: int, error: OSError) -> Misconfigured:
    """Return the error for an address on which the process cannot listen."""
    return Misconfigured(f"cannot listen on {host}:{port}: {error.strerror}", listening_hint(error))
