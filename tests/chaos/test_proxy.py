"""The fault proxy in front of a fake broker that responds to each request with its correlation id."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from stream.tools.chaos.proxy import Api, Delay, Disconnect, Error, FaultProxy, ProxyGroup, Rule, When
from stream.tools.chaos.proxy.error_responses import error_response
from stream.tools.chaos.proxy.wire import Reader, Writer, read_header


class Echo(threading.Thread):
    """A fake broker."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.seen: list[int] = []

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while frame := receive(connection):
                self.seen.append(read_header(frame).correlation_id)
                send(connection, frame[4:8])


def receive(connection: socket.socket) -> bytes:
    try:
        length = connection.recv(4, socket.MSG_WAITALL)
        return connection.recv(int.from_bytes(length), socket.MSG_WAITALL) if length else b""
    except OSError:
        return b""


def send(connection: socket.socket, frame: bytes) -> None:
    connection.sendall(len(frame).to_bytes(4) + frame)


CLIENTS: list["Client"] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    for client in CLIENTS:
        client.connection.close()
    CLIENTS.clear()


class Client:
    def __init__(self, port: int, name: str = "me") -> None:
        self.connection = socket.create_connection(("127.0.0.1", port), 5)
        self.name = name.encode()
        CLIENTS.append(self)

    def request(self, api: int, correlation_id: int, version: int = 0) -> None:
        header = api.to_bytes(2) + version.to_bytes(2) + correlation_id.to_bytes(4)
        send(self.connection, header + len(self.name).to_bytes(2) + self.name)

    def responses(self, number: int) -> list[int]:
        return [int.from_bytes(receive(self.connection)[:4]) for _ in range(number)]

    @property
    def is_cut(self) -> bool:
        return receive(self.connection) == b""


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    echo.start()
    yield echo
    echo.socket.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[FaultProxy]:
    with FaultProxy() as proxy:
        proxy.start(f"127.0.0.1:{echo.socket.getsockname()[1]}")
        yield proxy


def test_requests_and_responses_keep_their_order(proxy: FaultProxy, echo: Echo) -> None:
    client = Client(proxy.port)
    for number in range(100):
        client.request(Api.END_TXN, number)
    assert client.responses(100) == echo.seen == list(range(100))
    assert proxy.seen == {"END_TXN": 100}
    assert not proxy.injected


def test_error_response_keeps_the_order_and_the_broker_receives_no_request(
    proxy: FaultProxy, echo: Echo
) -> None:
    rule = proxy.add(Rule(Api.END_TXN, Error(51), When.on_call(2)))
    proxy.add(Rule(Api.FETCH, Delay(0.3, after=True), When.once()))
    client = Client(proxy.port)
    client.request(Api.FETCH, 1)
    for number in (2, 3, 4):
        client.request(Api.END_TXN, number)
    assert client.responses(4) == [1, 2, 3, 4]
    assert echo.seen == [1, 2, 4]
    assert rule.injected == 1
    assert proxy.injected == {("END_TXN", "error 51"): 1, ("FETCH", "delay after"): 1}


@pytest.mark.parametrize("after", [False, True])
def test_disconnect_comes_before_or_after_the_broker_handles_the_request(
    proxy: FaultProxy,
    echo: Echo,
    after: bool,  # noqa: FBT001
) -> None:
    proxy.add(Rule(Api.PRODUCE, Disconnect(after=after), When.once()))
    client = Client(proxy.port)
    client.request(Api.PRODUCE, 7)
    assert client.is_cut
    assert echo.seen == ([7] if after else [])
    again = Client(proxy.port)
    again.request(Api.PRODUCE, 8)
    assert again.responses(1) == [8]


@pytest.mark.parametrize("after", [False, True])
def test_delay_also_delays_later_requests(proxy: FaultProxy, after: bool) -> None:  # noqa: FBT001
    proxy.add(Rule(Api.PRODUCE, Delay(0.3, after=after), When.once()))
    client = Client(proxy.port)
    began = time.monotonic()
    client.request(Api.PRODUCE, 1)
    client.request(Api.FETCH, 2)
    assert client.responses(2) == [1, 2]
    assert time.monotonic() - began >= 0.3


def test_held_request_reaches_the_broker_after_its_client_has_died(proxy: FaultProxy, echo: Echo) -> None:
    """The delayed EndTxn of KAFKA-17754."""
    proxy.add(Rule(Api.END_TXN, Delay(0.2), When.once()))
    client = Client(proxy.port)
    client.request(Api.END_TXN, 1)
    client.connection.close()
    deadline = time.monotonic() + 5
    while not echo.seen and time.monotonic() < deadline:
        time.sleep(0.02)
    assert echo.seen == [1]


def test_rule_of_a_client_affects_no_other_client(proxy: FaultProxy, echo: Echo) -> None:
    proxy.add(Rule(Api.END_TXN, Disconnect(after=False), When.probability(1.0, 0), client="worker-1"))
    Client(proxy.port, "worker-1").request(Api.END_TXN, 1)
    other = Client(proxy.port, "worker-2")
    other.request(Api.END_TXN, 2)
    assert other.responses(1) == [2]
    assert echo.seen == [2]


def test_removed_rules_are_no_longer_applied(proxy: FaultProxy) -> None:
    rule = proxy.add(Rule(Api.END_TXN, Disconnect(after=False), When.probability(1.0, 0)))
    proxy.add(Rule(Api.FETCH, Disconnect(after=False), When.probability(1.0, 0)))
    proxy.remove(rule)
    proxy.clear()
    client = Client(proxy.port)
    client.request(Api.END_TXN, 1)
    client.request(Api.FETCH, 2)
    assert client.responses(2) == [1, 2]


def test_connection_is_closed_if_the_broker_is_unavailable(echo: Echo) -> None:
    echo.socket.close()
    with FaultProxy() as proxy:
        proxy.start("127.0.0.1:1")
        assert Client(proxy.port).is_cut


def test_unsupported_error_response_fails_the_check(proxy: FaultProxy) -> None:
    proxy.add(Rule(Api.METADATA, Error(1), When.once()))
    client = Client(proxy.port)
    client.request(Api.METADATA, 1)
    assert client.is_cut
    with pytest.raises(AssertionError, match="METADATA"):
        proxy.check()


@pytest.fixture
def group(echo: Echo) -> Iterator[ProxyGroup]:
    with ProxyGroup(3) as group:
        group.start([f"127.0.0.1:{echo.socket.getsockname()[1]}"] * 3)
        yield group


def test_rule_for_one_request_affects_one_at_all_nodes(group: ProxyGroup) -> None:
    rule = group.add(Rule(Api.END_TXN, Error(51), When.on_call(2)))
    for number, port in enumerate(group.ports):
        client = Client(port)
        client.request(Api.END_TXN, number)
        assert client.responses(1) == [number]
    assert rule.injected == 1
    assert group.injected == {("END_TXN", "error 51"): 1}
    assert group.proxies[1].injected == {("END_TXN", "error 51"): 1}


def test_removed_rule_is_removed_at_all_nodes(group: ProxyGroup) -> None:
    group.remove(group.add(Rule(Api.END_TXN, Disconnect(after=False), When.probability(1.0, 0))))
    group.add(Rule(Api.FETCH, Disconnect(after=False), When.probability(1.0, 0)))
    group.clear()
    for port in group.ports:
        client = Client(port)
        client.request(Api.END_TXN, 1)
        client.request(Api.FETCH, 2)
        assert client.responses(2) == [1, 2]


def test_clients_know_the_proxies_of_all_nodes(group: ProxyGroup) -> None:
    assert group.address.split(",") == [f"localhost:{port}" for port in group.ports]
    assert len(set(group.ports)) == 3


def test_rule_that_one_proxy_cannot_apply_fails_the_check_of_all(group: ProxyGroup) -> None:
    group.add(Rule(Api.METADATA, Error(1), When.once()))
    client = Client(group.ports[2])
    client.request(Api.METADATA, 1)
    assert client.is_cut
    with pytest.raises(AssertionError, match="METADATA"):
        group.check()


@pytest.mark.parametrize(
    ("when", "affected"),
    [
        (When.once(), [1]),
        (When.on_call(3), [3]),
        (When.times(2), [1, 2]),
        (When.probability(1.0, 0), list(range(1, 11))),
        (When.probability(0.0, 0), []),
    ],
)
def test_when_affects_the_chosen_requests(when: When, affected: list[int]) -> None:
    assert [number for number in range(1, 11) if when.affects()] == affected


def test_same_seed_affects_the_same_requests() -> None:
    def affected(seed: int) -> list[bool]:
        when = When.probability(0.5, seed)
        return [when.affects() for _ in range(50)]

    assert affected(1) == affected(1) != affected(2)


@pytest.mark.parametrize("flexible", [False, True])
def test_fields_are_read_as_they_were_written(flexible: bool) -> None:  # noqa: FBT001
    writer = Writer(flexible=flexible)
    writer.string(b"x" * 200)
    writer.string(None)
    writer.array([1, 2, 3], lambda n: writer.integer(n, 4))
    writer.tags()
    writer.integer(-5, 2)
    reader = Reader(writer.frame(), 0, flexible=flexible)
    assert reader.string() == b"x" * 200
    assert reader.string() is None
    assert reader.array(lambda: reader.integer(4)) == [1, 2, 3]
    reader.tags()
    assert reader.integer(2) == -5


def test_response_to_an_unknown_version_is_refused() -> None:
    frame = int(Api.END_TXN).to_bytes(2) + (99).to_bytes(2) + (1).to_bytes(4) + b"\xff\xff"
    with pytest.raises(NotImplementedError, match="version 99"):
        error_response(read_header(frame), frame, 51)
