from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, cast

import pytest
from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException, Node, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    ConsumerGroupDescription,
    MemberAssignment,
    MemberDescription,
)

from stream.kafka.clients import Admin
from stream.kafka.membership import MISSED_S, RESULT_S_MAX, SETTLED_S, Membership

TOPIC = "text-blobs"


class Coordinator:
    """Stands in for the admin client; `given` has the partitions of the member `me`."""

    def __init__(self) -> None:
        self.given: list[int] | None = [0]
        self.state = ConsumerGroupState.STABLE
        self.answers = True
        self.requests = 0

    def describe_consumer_groups(self, groups: list[str], **_: object) -> dict[str, Future[Any]]:
        self.requests += 1
        future = Future[Any]()
        if self.given is None:
            future.set_exception(KafkaException(KafkaError(KafkaError.COORDINATOR_NOT_AVAILABLE)))
        elif self.answers:
            parts = [TopicPartition(TOPIC, number) for number in self.given] + [TopicPartition("other", 9)]
            members = [
                MemberDescription("me", "c", "h", MemberAssignment(parts)),
                MemberDescription("you", "c", "h", MemberAssignment([TopicPartition(TOPIC, 7)])),
            ]
            node = Node(1, "h", 1)
            future.set_result(ConsumerGroupDescription("g", False, members, "", self.state, node))
        return {groups[0]: future}


@pytest.fixture
def coordinator() -> Coordinator:
    return Coordinator()


def statistics(timeouts: int, state: str = "UP") -> str:
    return (
        f'{{ "name": "c", "brokers": {{ "b:1/1": {{ "req_timeouts":9, "state":"UP" }}, "GroupCoordinator": '
        f'{{ "name":"GroupCoordinator", "state":"{state}", "req_timeouts":{timeouts}, "toppars":{{}} }} }} }}'
    )


class Checked:
    """A membership that is checked once per second of a fake clock."""

    def __init__(
        self, coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch, partitions: Sequence[int] = ()
    ) -> None:
        self.now = 100.0
        monkeypatch.setattr("stream.kafka.membership.time.monotonic", lambda: self.now)
        self.membership = Membership(lambda: cast("Admin", coordinator), "g", TOPIC, partitions)
        self.membership.observe(statistics(0))

    def run(self, owned: set[int], seconds: float, timeouts: int = 1, state: str = "UP") -> set[int]:
        missed = set[int]()
        for _ in range(int(seconds)):
            self.now += 1
            self.membership.observe(statistics(timeouts, state))
            missed |= self.membership.missed("me", frozenset(owned))
        return missed


@pytest.fixture
def checked(coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch) -> Checked:
    return Checked(coordinator, monkeypatch)


LONG_S = 3 * SETTLED_S + MISSED_S + 5


def test_assigned_partition_that_the_member_does_not_know_is_missed(
    coordinator: Coordinator, checked: Checked
) -> None:
    coordinator.given = [0, 4]
    assert not checked.run({0}, SETTLED_S + MISSED_S)
    assert checked.run({0}, LONG_S) == {4}


def test_member_that_knows_all_its_partitions_misses_none(coordinator: Coordinator, checked: Checked) -> None:
    coordinator.given = [0, 4]
    assert not checked.run({0, 4}, LONG_S)
    assert not checked.run({0, 4, 5}, LONG_S, timeouts=2), "it still owns a partition that it must revoke"


def test_difference_during_a_rebalance_is_not_missed(coordinator: Coordinator, checked: Checked) -> None:
    for given in ([0, 1], [0, 2], [0, 3], [0]):
        coordinator.given = given
        assert not checked.run({0}, SETTLED_S + 1)
    assert not checked.run({0}, LONG_S)


def test_coordinator_that_does_not_answer_is_asked_again(coordinator: Coordinator, checked: Checked) -> None:
    coordinator.given = None
    assert not checked.run({0}, LONG_S)
    coordinator.given, coordinator.answers = [0, 4], False
    assert not checked.run({0}, RESULT_S_MAX + LONG_S)
    coordinator.answers = True
    assert checked.run({0}, RESULT_S_MAX + LONG_S) == {4}


def test_coordinator_is_asked_only_after_a_request_timed_out(
    coordinator: Coordinator, checked: Checked
) -> None:
    checked.run({0}, 100, timeouts=0)
    assert coordinator.requests == 0
    checked.run({0}, 100)
    assert coordinator.requests == 1


def test_coordinator_is_not_asked_while_it_is_unavailable_or_slow(
    coordinator: Coordinator, checked: Checked
) -> None:
    checked.run({0}, 100, state="DOWN")
    for timeouts in range(2, 20):
        checked.run({0}, SETTLED_S - 1, timeouts)
    assert coordinator.requests == 0


def test_timeouts_of_a_new_consumer_are_counted_from_zero(coordinator: Coordinator, checked: Checked) -> None:
    checked.run({0}, 50, timeouts=5)
    checked.run({0}, 50, timeouts=0)
    assert coordinator.requests == 1
    checked.run({0}, 50, timeouts=1)
    assert coordinator.requests == 2


def test_static_member_checks_once_after_joining_for_partitions_without_an_owner(
    coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = Checked(coordinator, monkeypatch, partitions=[0, 3, 7])
    assert checked.run({0}, LONG_S, timeouts=0) == {3}
    checked.membership.joined()
    coordinator.given = [0, 3]
    requests = coordinator.requests
    assert not checked.run({0, 3}, LONG_S, timeouts=0)
    assert coordinator.requests == requests + 1


def test_partition_without_an_owner_in_a_rebalance_is_not_missed(
    coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    coordinator.state = ConsumerGroupState.PREPARING_REBALANCING
    checked = Checked(coordinator, monkeypatch, partitions=[0, 3, 7])
    assert not checked.run({0}, LONG_S, timeouts=0)
