"""Hints that match the reason why a process cannot listen."""

import errno
import socket

import pytest

from stream.telemetry.listening import listen, listening_hint
from stream.telemetry.server import not_listening


@pytest.mark.parametrize("host", ["8.8.8.8", "no.such.host.invalid"])
def test_address_of_another_machine_is_a_wrong_host_not_a_wrong_port(host: str) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - one of two classes
        listen(host, 0)
    error = not_listening(host, 0, caught.value)
    assert "STREAM_HTTP_HOST" in error.hint
    assert "STREAM_HTTP_PORT" not in error.hint


def test_port_in_use_is_a_wrong_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as first, pytest.raises(OSError) as caught:  # noqa: PT011
        listen("127.0.0.1", first.getsockname()[1])
    assert listening_hint(caught.value) == "set STREAM_HTTP_PORT=0 to use any free port"


def test_port_that_needs_a_privilege_is_named() -> None:
    assert "above 1023" in listening_hint(PermissionError(errno.EACCES, "Permission denied"))
