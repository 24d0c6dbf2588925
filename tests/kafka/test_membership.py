from collections.abc import Callable
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
from stream.kafka.membership import CHECKED_S, MISSED_S, RESULT_S_MAX, Membership

TOPIC = "text-blobs"


class Coordinator:
    """Stands in for the admin client; `given` is what the coordinator says about the member `me`."""

    def __init__(self) -> None:
        self.given: list[int] | None = [0]
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
            state = ConsumerGroupState.STABLE
            future.set_result(ConsumerGroupDescription("g", False, members, "", state, Node(1, "h", 1)))
        return {groups[0]: future}


@pytest.fixture
def coordinator() -> Coordinator:
    return Coordinator()


@pytest.fixture
def check(coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch) -> Callable[[set[int], float], set[int]]:
    """Return what checks the membership once a second for a time, and returns what was missed."""
    now = [100.0]
    monkeypatch.setattr("stream.kafka.membership.time.monotonic", lambda: now[0])
    checked = Membership(lambda: cast("Admin", coordinator), "g", TOPIC)

    def run(owned: set[int], seconds: float) -> set[int]:
        missed = set[int]()
        for _ in range(int(seconds)):
            now[0] += 1
            missed |= checked.missed("me", frozenset(owned))
        return missed

    return run


LONG_S = 2 * CHECKED_S + MISSED_S + 5


def test_partition_that_was_given_and_is_not_known_is_missed(
    coordinator: Coordinator, check: Callable[[set[int], float], set[int]]
) -> None:
    coordinator.given = [0, 4]
    assert not check({0}, MISSED_S)
    assert check({0}, LONG_S) == {4}


def test_member_that_knows_what_it_was_given_misses_nothing(
    coordinator: Coordinator, check: Callable[[set[int], float], set[int]]
) -> None:
    coordinator.given = [0, 4]
    assert not check({0, 4}, LONG_S)
    assert not check({0, 4, 5}, LONG_S), "it still owns a partition that it must revoke"


def test_difference_during_a_rebalance_is_not_missed(
    coordinator: Coordinator, check: Callable[[set[int], float], set[int]]
) -> None:
    for given in ([0, 1], [0, 2], [0, 3], [0]):
        coordinator.given = given
        assert not check({0}, CHECKED_S + 1)
    assert not check({0}, LONG_S)


def test_coordinator_that_is_unavailable_or_silent_is_asked_again(
    coordinator: Coordinator, check: Callable[[set[int], float], set[int]]
) -> None:
    coordinator.given = None
    assert not check({0}, LONG_S)
    coordinator.given, coordinator.answers = [0, 4], False
    assert not check({0}, RESULT_S_MAX + LONG_S)
    coordinator.answers = True
    assert check({0}, RESULT_S_MAX + LONG_S) == {4}


def test_coordinator_is_asked_once_in_ten_seconds(
    coordinator: Coordinator, check: Callable[[set[int], float], set[int]]
) -> None:
    check({0}, 100)
    assert coordinator.requests <= 100 / CHECKED_S
