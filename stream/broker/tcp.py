"""Ports of this machine's loopback."""

import random
import socket

from stream.broker.properties import ADDRESS
from stream.errors import Fatal, Misconfigured

# Below the ephemeral ports (Linux from 32768, macOS from 49152): from those the system takes the near end of
# any outgoing connection, which would lose us the port over a bounce. A client that dials such a port while
# nobody listens can even be connected to itself, and then holds it.
_PORTS = range(20_000, 32_000)
_TRIES_MAX = 200
_CONNECT_TIMEOUT_S = 1.0


def free_port(avoid: frozenset[int] = frozenset()) -> int:
    """A port that nobody listens on, not one of `avoid`.

    Raises:
        Fatal: none was found.
    """
    for _ in range(_TRIES_MAX):
        port = random.choice(_PORTS)  # noqa: S311 - so that two processes seldom choose the same
        if port not in avoid and _is_free(port):
            return port
    raise Fatal(f"no free port among {_TRIES_MAX} tried in {_PORTS.start}-{_PORTS.stop - 1}")


def check_free(port: int) -> None:
    """Say so before Java is started when somebody listens on the port.

    Raises:
        Misconfigured: the port is taken.
    """
    if not _is_free(port):
        raise Misconfigured(
            f"port {port} is taken by another process",
            f"choose another, or 0 for any free one; `lsof -i :{port}` names who has it",
        )


def answers(port: int) -> bool:
    """Whether a connection is accepted."""
    try:
        with socket.create_connection((ADDRESS, port), timeout=_CONNECT_TIMEOUT_S):
            return True
    except OSError:
        return False


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tried:
        # As Java does: connections of the last run that linger in TIME_WAIT are no hindrance.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((ADDRESS, port))
            tried.listen(1)
        except (OSError, OverflowError):
            return False
    return True
