import socket
from collections.abc import Iterator

import pytest

from stream.broker import tcp
from stream.broker.embedded import EmbeddedBroker
from stream.errors import Fatal, Misconfigured


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_free_port_is_below_the_ephemeral_ones() -> None:
    assert 1024 < tcp.free_port() < 32_768


def test_a_port_to_avoid_is_not_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "_PORTS", range(20_000, 20_002))
    assert tcp.free_port(avoid=frozenset({20_000})) == 20_001


def test_the_search_for_a_port_gives_up(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "_PORTS", range(taken, taken + 1))
    with pytest.raises(Fatal, match="no free port"):
        tcp.free_port()


def test_a_port_answers_while_a_process_listens(taken: int) -> None:
    assert tcp.answers(taken)
    assert not tcp.answers(tcp.free_port())


def test_a_taken_port_is_refused_before_anything_starts(taken: int) -> None:
    with pytest.raises(Misconfigured, match=f"port {taken} is taken") as caught:
        EmbeddedBroker(port=taken)
    assert "0 for any free port" in caught.value.hint


def test_an_impossible_port_is_refused() -> None:
    with pytest.raises(Misconfigured, match="port 70000"):
        EmbeddedBroker(port=70_000)
