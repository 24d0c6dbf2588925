"""Notices partitions that the group's coordinator gave to this member, and that the member does not know.

Under the `consumer` protocol an assignment is sent once, as a change. If the heartbeat that brings it times
out, librdkafka 2.16 repeats the heartbeat, but asks for the assignment only after a lost connection. The
coordinator then takes the partitions for owned, the group is stable, and nobody reads them, for ever. Only a
member that joins again gets them.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future

from confluent_kafka import KafkaException
from confluent_kafka.admin import ConsumerGroupDescription  # type: ignore[attr-defined]

from stream.kafka.clients import Admin

CHECKED_S = 10.0
REQUEST_TIMEOUT_S, RESULT_S_MAX = 5.0, 15.0
MISSED_S = 15.0  # a rebalance takes two heartbeats, 5 s each by default


class Membership:
    """Asks the coordinator from time to time what it gave to a member; requests do not block.

    Each request has a client of its own: one that asks for a group may abort the process when a coordinator
    comes back after a failed request.
    """

    def __init__(self, make_admin: Callable[[], Admin], group_id: str, topic: str) -> None:
        self._make_admin = make_admin
        self._group_id = group_id
        self._topic = topic
        self._request: tuple[Admin, Future[ConsumerGroupDescription]] | None = None
        self._requested_at = time.monotonic()
        self._missed: frozenset[int] = frozenset()
        self._missed_since = 0.0

    def missed(self, member_id: str, owned: frozenset[int]) -> frozenset[int]:
        """Return the partitions that this member has been given for too long without knowing it."""
        now = time.monotonic()
        if self._request is None:
            if now - self._requested_at >= CHECKED_S:
                self._requested_at = now
                admin = self._make_admin()
                futures = admin.describe_consumer_groups([self._group_id], request_timeout=REQUEST_TIMEOUT_S)
                self._request = admin, futures[self._group_id]
            return frozenset()
        _, future = self._request
        if not future.done():
            if now - self._requested_at > RESULT_S_MAX:
                self._request = None
            return frozenset()
        self._request = None
        missed = self._given(future, member_id) - owned
        if missed != self._missed:
            self._missed, self._missed_since = missed, now
        if not missed or now - self._missed_since < MISSED_S:
            return frozenset()
        self._missed = frozenset()
        return missed

    def _given(self, future: Future[ConsumerGroupDescription], member_id: str) -> frozenset[int]:
        try:
            members = future.result().members
        except KafkaException:  # unavailable: the next request asks again
            return frozenset()
        return frozenset(
            assigned.partition
            for member in members
            if member.member_id == member_id and member.assignment is not None
            for assigned in member.assignment.topic_partitions
            if assigned.topic == self._topic
        )
