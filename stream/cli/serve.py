"""`serve`: totals and outcomes over HTTP and on a web page."""

import socket
from importlib.util import find_spec
from typing import Annotated, Any

import structlog
import typer

from stream.cli.app import err, say, settings, warn, watch_cluster
from stream.config import Settings
from stream.dictionary import load_index
from stream.errors import Misconfigured
from stream.telemetry.listening import address_of, listen, listening_hint
from stream.worker.startup import retry_while_unreachable

_LIBRARIES = ("fastapi", "uvicorn")
_PUBLIC = {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound


def serve(
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on; by default STREAM_SERVE_HOST.", show_default=False),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65_535,
            help="Port to listen on, 0 for any; by default STREAM_SERVE_PORT.",
            show_default=False,
        ),
    ] = None,
    worker: Annotated[
        list[str] | None,
        typer.Option(help="URL of a worker's probes; shows whether it is ready. Repeatable."),
    ] = None,
) -> None:
    """Serve totals and outcomes over HTTP and on a web page, until Ctrl-C.

    Reads the topics into a view in the state folder. Needs write access to Kafka only if STREAM_SERVE_SUBMIT
    is true. Several instances can run at the same time.
    """
    given: dict[str, Any] = {"serve_host": host, "serve_port": port}
    chosen = settings(**{name: value for name, value in given.items() if value is not None})
    index = load_index(chosen.dictionary)
    _have_the_libraries()
    from stream.tools.serve.follower import follow  # noqa: PLC0415 - of the extra
    from stream.tools.serve.server import Serving  # noqa: PLC0415 - of the extra

    listener = _listener(chosen)
    url = _url(listener)
    if chosen.serve_host in _PUBLIC and chosen.serve_token is None:
        allowed = "read the results and submit texts" if chosen.serve_submit else "read the results"
        warn(f"anyone who reaches this address can {allowed}; set STREAM_SERVE_TOKEN to require a token")
    watch = watch_cluster(chosen, chosen.count_topic, chosen.result_topic, chosen.dead_letter_topic)
    log = structlog.get_logger()
    follower = retry_while_unreachable(
        chosen, lambda: follow(chosen, lambda why: log.warning("the view starts over", reason=why))
    )

    def on_ready() -> None:
        log.info("serving", url=url, submit=chosen.serve_submit)
        if err.is_terminal:
            say(f"serving at {url}; press Ctrl-C to stop")

    with watch.explained():
        Serving(chosen, index, follower, listener, worker or [], watch, on_ready).run()


def _have_the_libraries() -> None:
    for name in _LIBRARIES:
        if find_spec(name) is None:
            raise Misconfigured(
                f"`serve` needs a library that is not installed: {name}",
                "pip install 'anagram-stream[serve]'",
            )


def _listener(chosen: Settings) -> socket.socket:
    host, port = chosen.serve_host, chosen.serve_port
    try:
        listener = listen(host, port)
    except OSError as error:
        hint = listening_hint(error).replace("STREAM_HTTP_", "STREAM_SERVE_")
        raise Misconfigured(f"cannot listen on {host}:{port}: {error.strerror}", hint) from error
    # Connections inherit it. Otherwise the body of a response waits 40 ms for the acknowledgment of its head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = address_of(listener)
    shown = "localhost" if host in {*_PUBLIC, "127.0.0.1", "::1"} else host
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
