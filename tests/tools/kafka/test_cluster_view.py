from concurrent.futures import Future
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, TopicPartition

from stream.errors import Retriable
from stream.kafka.clients import Admin
from stream.tools.kafka.cluster_view import ClusterView, coordinator_partition


@pytest.mark.parametrize(
    ("name", "partitions", "partition"),
    [
        ("", 8, 0),
        ("abc", 50, 96354 % 50),
        ("hello", 8, 99162322 % 8),
        ("negative-hash-0", 50, 1704008759 % 50),
        ("polygenelubricants", 50, 0),  # its hash is the smallest int, which has no absolute value
        ("\U0001f600", 50, 1772899 % 50),  # two UTF-16 units
    ],
)
def test_coordinator_partition_equals_that_of_kafka(name: str, partitions: int, partition: int) -> None:
    """The expected hashes are those of Java's `String.hashCode`."""
    assert coordinator_partition(name, partitions) == partition


def test_client_is_replaced_after_a_failure() -> None:
    clients: list[Admin] = []

    def make() -> Admin:
        clients.append(Admin({"bootstrap.servers": "localhost:1", "socket.timeout.ms": 1000, "log_level": 0}))
        return clients[-1]

    view = ClusterView(make)
    for _ in range(2):
        with pytest.raises(Retriable):
            view.leaders("any")
    assert len(clients) == 2
    assert view.not_in_sync(3).startswith("no broker responds")


class Elections:
    """Fake admin client whose elections return these errors."""

    def __init__(self, *codes: int) -> None:
        self._codes = codes

    def elect_leaders(self, *_: object, **__: object) -> Future[Any]:
        future = Future[Any]()
        errors = [None if code == 0 else KafkaError(code) for code in self._codes]
        future.set_result({TopicPartition("t", number): error for number, error in enumerate(errors)})
        return future


def view_of(*codes: int) -> ClusterView:
    return ClusterView(lambda: cast("Admin", Elections(*codes)))


def test_replica_that_leads_already_needs_no_election() -> None:
    view_of(0, KafkaError.ELECTION_NOT_NEEDED).elect_preferred()


def test_election_of_a_replica_that_is_not_available_is_repeated_by_the_caller() -> None:
    view = view_of(0, KafkaError.PREFERRED_LEADER_NOT_AVAILABLE)
    with pytest.raises(Retriable, match="PREFERRED_LEADER_NOT_AVAILABLE"):
        view.elect_preferred()
