"""Partitions that no member of a stable group reads: a member missed its assignment, or was replaced."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support.environment import SHORT_SESSIONS, own_env
from support.topics import make_topics, settings_of

from stream.broker.embedded import EmbeddedBroker
from stream.config import Settings
from stream.errors import Retriable
from stream.kafka import clients, membership
from stream.kafka.input_records import BatchLimits
from stream.kafka.membership import Membership
from stream.kafka.offsets import Offsets
from stream.kafka.source import KafkaSource
from stream.tools.chaos.proxy import Api, Delay, FaultProxy, Rule, When

pytestmark = [pytest.mark.broker, pytest.mark.embedded]

HEARTBEAT_S = 0.5
SECONDS_MAX = 60.0


class Member:
    """A member of the group, and the partitions that it knows to be its own."""

    def __init__(
        self, settings: Settings, name: str, servers: str, protocol: str = "consumer", partitions: int = 0
    ) -> None:
        offsets = Offsets(lambda: clients.make_admin(settings))
        checked = Membership(
            lambda: clients.make_admin(settings), settings.group_id, settings.input_topic, range(partitions)
        )
        options = clients.member_options(settings, name, protocol)
        options = clients.with_statistics(options, 500, checked.observe)
        options |= {"bootstrap.servers": servers, "client.id": name}
        limits = BatchLimits(records_max=100, bytes_max=1 << 20, interval_s=0.01)
        self.source = KafkaSource(options, offsets, settings.input_topic, limits, checked)
        self.partitions = set[int]()
        self.joined_again = 0
        self.source.subscribe(self)

    def assigned(self, partitions: Sequence[int]) -> None:
        self.partitions |= set(partitions)

    def revoked(self, partitions: Sequence[int]) -> None:
        self.partitions -= set(partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        self.revoked(partitions)

    def poll(self) -> None:
        try:
            self.source.poll_batch(0.05)
        except Retriable as error:
            self.joined_again += "no member of the group reads" in str(error)


def poll_until(condition: Callable[[], bool], *members: Member, seconds: float = SECONDS_MAX) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        for member in members:
            member.poll()


def poll_for(seconds: float, *members: Member) -> None:
    deadline = time.monotonic() + seconds
    poll_until(lambda: time.monotonic() > deadline, *members)


def test_partition_whose_assignment_was_lost_is_read_after_joining_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "SETTLED_S", 2.0)
    monkeypatch.setattr(membership, "MISSED_S", 3.0)
    heartbeat = {"group.consumer.heartbeat.interval.ms": str(int(HEARTBEAT_S * 1000))}
    proxy = FaultProxy()
    with (
        proxy,
        EmbeddedBroker(
            properties=SHORT_SESSIONS | heartbeat | {"group.consumer.session.timeout.ms": "10000"},
            listeners={"PROXIED": "PLAINTEXT"},
            advertised={"PROXIED": proxy.port},
        ) as broker,
    ):
        proxy.start(broker.bound("PROXIED"))
        settings = settings_of(make_topics(own_env(broker.bootstrap_servers, tmp_path), partitions=6))
        first, second = (Member(settings, name, broker.bootstrap_servers) for name in ("first", "second"))
        poll_until(lambda: len(first.partitions) == len(second.partitions) == 3, first, second)
        poll_for(4 * HEARTBEAT_S, first, second)
        third = Member(settings, "third", proxy.address)
        poll_until(lambda: len(third.partitions) == 1, first, third)  # from `first`; `second` does not poll
        poll_for(2 * HEARTBEAT_S, first, third)
        delay = Delay(3 * HEARTBEAT_S, after=True)  # a heartbeat times out after two intervals
        proxy.add(Rule(Api.CONSUMER_GROUP_HEARTBEAT, delay, When.times(2), client="third"))
        poll_for(HEARTBEAT_S, third)
        poll_until(lambda: len(second.partitions) == 2, first, second, third)
        poll_until(lambda: len(third.partitions) == 2, first, second, third)
        assert third.joined_again == 1
        for member in (first, second, third):
            member.source.close()


def test_partition_that_a_static_member_was_about_to_release_when_it_was_killed_is_read(
    stream_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its successor gets the assignment of the first half of a rebalance that has no second half."""
    monkeypatch.setattr(membership, "SETTLED_S", 2.0)
    monkeypatch.setattr(membership, "MISSED_S", 3.0)
    settings = settings_of(stream_env)
    servers = settings.bootstrap_servers
    first = Member(settings, "first", servers, "classic", partitions=2)
    poll_until(lambda: len(first.partitions) == 2, first)
    second = Member(settings, "second", servers, "classic", partitions=2)
    poll_for(4.0, second)  # `first` does not poll, so it releases nothing
    assert not second.partitions
    successor = Member(settings, "first", servers, "classic", partitions=2)
    poll_until(lambda: successor.partitions | second.partitions == {0, 1}, successor, second)
    assert successor.joined_again + second.joined_again >= 1
    assert not successor.partitions & second.partitions
    for member in (first, second, successor):
        member.source.close()
