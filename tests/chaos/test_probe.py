import threading
import time
from collections.abc import Callable

import pytest

from stream.config import load_settings
from stream.errors import Retriable
from stream.tools.chaos import probe
from stream.tools.chaos.probe import Probe, next_node, transactional_ids
from stream.tools.kafka.cluster_view import coordinator_partition

SETTINGS = load_settings(bootstrap_servers="localhost:1")


class Transactions:
    """Replaces Kafka transactions: each commit calls `commits`."""

    commits: Callable[[], None]

    def __init__(self, _settings: object, _transactional_id: str) -> None:
        pass

    def commit(self, _topic: str, _partition: int, _value: bytes) -> None:
        type(self).commits()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "BareTransactions", Transactions)
    monkeypatch.setattr(probe, "INTERVAL_S", 0.01)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_longest_time_without_a_commit_is_the_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    fails = threading.Event()

    def commit() -> None:
        if fails.is_set():
            raise Retriable("no leader")

    monkeypatch.setattr(Transactions, "commits", commit, raising=False)
    probed = Probe(SETTINGS, "probe", 0)
    probed.start()
    wait_for(lambda: probed.commits > 3)
    probed.reset()
    fails.set()
    time.sleep(0.4)
    assert 0.3 < probed.reset() < 2
    time.sleep(0.2)
    fails.clear()
    before = probed.commits
    wait_for(lambda: probed.commits > before)
    assert probed.reset() > 0.5, "an ongoing stall keeps its start"
    probed.stop()


def test_call_that_does_not_return_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs, released = threading.Event(), threading.Event()

    def commit() -> None:
        if hangs.is_set():
            hangs.clear()
            released.wait(10)

    monkeypatch.setattr(Transactions, "commits", commit, raising=False)
    monkeypatch.setattr(probe, "HANG_S", 0.2)
    probed = Probe(SETTINGS, "probe", 0)
    probed.start()
    wait_for(lambda: probed.commits > 0)
    hangs.set()
    wait_for(lambda: not hangs.is_set())
    before = probed.commits

    def has_committed() -> bool:
        probed.check()
        return probed.commits > before

    wait_for(has_committed)
    assert probed.hangs == 1
    released.set()
    probed.stop()


def test_each_node_coordinates_one_probe() -> None:
    leaders = {partition: partition % 3 + 1 for partition in range(8)}
    ids = transactional_ids(leaders, 3)
    assert set(ids) == {1, 2, 3}
    assert {node: leaders[coordinator_partition(name, 8)] for node, name in ids.items()} == {1: 1, 2: 2, 3: 3}


def test_node_after_the_last_one_is_the_first() -> None:
    assert [next_node(node, 3) for node in (1, 2, 3)] == [2, 3, 1]
