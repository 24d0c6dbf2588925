"""HTTP servers on a TCP address, on an existing listening socket, or on a private Unix socket."""

import errno
import socket
from collections.abc import Callable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

_NO_ADDRESS = ("", 0)  # a Unix socket and its clients have none


class QuietHandler(WSGIRequestHandler):
    """Logs nothing and bounds the time of a connection."""

    timeout = 5  # seconds; a silent connection occupies a thread no longer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the name is the base's
        """Do not log scrapes."""


class Server(ThreadingMixIn, WSGIServer):
    """Serves a WSGI application on a listening socket."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, listener: socket.socket, app: Callable[..., Any]) -> None:
        super().__init__(_NO_ADDRESS, QuietHandler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name, self.server_port = address_of(listener)
        self.setup_environ()
        self.set_app(app)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, client = self.socket.accept()
        return connection, client or _NO_ADDRESS


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; if `host` is a path, a Unix socket there.

    Raises:
        OSError: the address is in use, or this machine does not have it.
    """
    if host.startswith("/"):
        Path(host).unlink(missing_ok=True)  # left by a killed predecessor
        return _listen(socket.AF_UNIX, host)
    return _listen(socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port))


def _listen(family: socket.AddressFamily, address: str | tuple[str, int]) -> socket.socket:
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def listening_hint(error: OSError) -> str:
    """Return the fix for a process that cannot listen on its address."""
    if error.errno == errno.EADDRINUSE:
        return "set STREAM_HTTP_PORT=0 to use any free port"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return "set STREAM_HTTP_PORT to a port above 1023, or to 0 for any free port"
    return "set STREAM_HTTP_HOST to an address of this machine: 127.0.0.1, or 0.0.0.0 for all of them"


def address_of(listener: socket.socket) -> tuple[str, int]:
    """Return host and port; empty for a Unix socket."""
    if listener.family == socket.AF_UNIX:
        return _NO_ADDRESS
    host, port = listener.getsockname()[:2]
    return host, port
