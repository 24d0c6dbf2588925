"""HTTP servers: on the network, on a socket that there is already, or on a private one in the file system."""

import socket
from collections.abc import Callable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

_NOBODY = ("", 0)  # who calls through a private socket has no address


class QuietHandler(WSGIRequestHandler):
    """Says nothing, and waits for nobody for ever."""

    timeout = 5  # seconds; a connection that says nothing holds a thread no longer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the name is the base's
        """A scrape is no event."""


class Server(ThreadingMixIn, WSGIServer):
    """Serves a WSGI application on a socket that listens."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, listener: socket.socket, app: Callable[..., Any]) -> None:
        super().__init__(_NOBODY, QuietHandler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name, self.server_port = address_of(listener)
        self.setup_environ()
        self.set_app(app)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection."""
        connection, caller = self.socket.accept()
        return connection, caller or _NOBODY


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; where `host` is a path, there.

    Raises:
        OSError: the address is taken, or not ours.
    """
    if host.startswith("/"):
        Path(host).unlink(missing_ok=True)  # a killed predecessor's
        return _listening(socket.AF_UNIX, host)
    return _listening(socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port))


def _listening(family: socket.AddressFamily, address: str | tuple[str, int]) -> socket.socket:
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def address_of(listener: socket.socket) -> tuple[str, int]:
    """Return host and port; a private socket's are empty."""
    if listener.family == socket.AF_UNIX:
        return _NOBODY
    host, port = listener.getsockname()[:2]
    return host, port
