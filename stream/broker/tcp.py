"""Ports of the loopback interface."""

import random
import socket

from stream.broker.properties import ADDRESS
from stream.errors import Fatal, Misconfigured

# Below the ephemeral ports (Linux from 32768, macOS from 49152). The system uses ephemeral ports for outgoing
# connections, so the broker could lose such a port during a restart. A client that connects to such a
# port while nothing listens can even connect to itself, and then occupies the port.
_PORTS = range(20_000, 32_000)
_TRIES_MAX = 200
_CONNECT_TIMEOUT_S = 1.0


def free_port(avoid: frozenset[int] = frozenset()) -> int:
    """Return a port that no process listens on, except those in `avoid`.

    Raises:
        Fatal: no free port was found.
    """
    for _ in range(_TRIES_MAX):
        port = random.choice(_PORTS)  # noqa: S311 - two processes rarely choose the same port
        if port not in avoid and _is_free(port):
            return port
    raise Fatal(f"no free port after {_TRIES_MAX} attempts in {_PORTS.start}-{_PORTS.stop - 1}")


def check_free(port: int) -> None:
    """Check, before Java is started, that no process listens on the port.

    Raises:
        Misconfigured: the port is taken.
    """
    if not _is_free(port):
        raise Misconfigured(
            f"port {port} is taken by another process",
            f"choose another port, or 0 for any free port; `lsof -i :{port}` shows the process",
        )


def answers(port: int) -> bool:
    """Return whether a connection to the port is accepted."""
    try:
        with socket.create_connection((ADDRESS, port), timeout=_CONNECT_TIMEOUT_S):
            return True
    except OSError:
        return False


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
        # Like Java: connections of the last run in TIME_WAIT do not block the port.
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((ADDRESS, port))
            candidate.listen(1)
        except (OSError, OverflowError):
            return False
    return True
