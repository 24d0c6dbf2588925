"""The slow network delays responses, keeps their order, and adds no delay to closely spaced responses."""

import contextlib
import socket
import threading
from time import monotonic

from stream.tools.load_test.slow_network import SlowNetwork

DELAY_S, LINES = 0.1, 20


def echo(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        while received := connection.recv(1 << 16):
            connection.sendall(received)


def test_responses_are_delayed_once_and_stay_in_order() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, SlowNetwork() as network:
        threading.Thread(target=echo, args=(server,), daemon=True).start()
        network.start(f"127.0.0.1:{server.getsockname()[1]}")
        with socket.create_connection(("127.0.0.1", network.port), timeout=10) as client:
            client.sendall(b"at once\n")
            assert client.recv(100) == b"at once\n"
            network.delay_s = DELAY_S
            sent = b"".join(b"%d\n" % number for number in range(LINES))
            began, received = monotonic(), b""
            for line in sent.splitlines(keepends=True):
                client.sendall(line)
            while len(received) < len(sent):
                received += client.recv(100)
            passed_s = monotonic() - began
    assert received == sent
    assert DELAY_S <= passed_s < DELAY_S * LINES / 2


def test_connection_closes_with_the_one_to_the_broker() -> None:
    with SlowNetwork() as network:
        with socket.create_server(("127.0.0.1", 0)) as server:
            network.start(f"127.0.0.1:{server.getsockname()[1]}")
        connection = socket.create_connection(("127.0.0.1", network.port), timeout=10)  # nobody listens now
        with connection as client, contextlib.suppress(ConnectionResetError):
            assert client.recv(100) == b""
