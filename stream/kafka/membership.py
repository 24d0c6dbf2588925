"""Detects partitions that no member reads, although the group is stable.

Under `classic`, a static member that is killed between the two halves of a cooperative rebalance comes back
as the same member (KIP-345). The coordinator returns the assignment of the first half and starts no
rebalance, so the partition that the member was about to release never gets an owner. A member therefore asks
the coordinator once after each join.

Under the `consumer` protocol an assignment is sent once, as a change. If the heartbeat that brings it times
out, librdkafka 2.16 repeats the heartbeat, but requests the assignment only after a lost connection. The
coordinator then considers the partitions owned, the group is stable, and no member ever reads them. A member
therefore asks the coordinator once after a request to it timed out.

Only a member that leaves and rejoins gets such partitions. It does not ask more often: a request about a
group aborts the process if it times out before its coordinator is known, and the coordinator then comes back
(librdkafka: `rd_kafka_enq_once_del_source_return`). So a member asks only after the coordinator has been
connected for some time. It discards the client long before the request times out, which ends the request
without an abort.
"""

import json
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import ConsumerGroupDescription  # type: ignore[attr-defined]

from stream.kafka.clients import Admin

SETTLED_S = 10.0  # with a connected coordinator and no timeout; also the interval between two requests
MISSED_S = 15.0  # a rebalance takes two heartbeats, 5 s each by default
RESULT_S_MAX = 15.0  # then the client is discarded
REQUEST_TIMEOUT_S = 600.0  # longer than the worker takes to discard the client
_COORDINATOR = '"GroupCoordinator": '  # in librdkafka's statistics


class Membership:
    """Compares the partitions that a member owns with those it was assigned; requests do not block.

    Attributes:
        is_suspect: whether partitions may have been missed; which ones is not known yet.
    """

    def __init__(
        self, make_admin: Callable[[], Admin], group_id: str, topic: str, partitions: Iterable[int] = ()
    ) -> None:
        """`partitions`: all of the topic, for a static member; a dynamic one can miss only assigned ones."""
        self._make_admin = make_admin
        self._group_id = group_id
        self._topic = topic
        self._partitions = frozenset(partitions)
        self.is_suspect = False
        self.joined()
        self._timeouts = 0
        self._settled_since: float | None = None  # None: the coordinator is not connected
        self._request: tuple[Admin, Future[ConsumerGroupDescription]] | None = None
        self._requested_at = 0.0
        self._missed: frozenset[int] = frozenset()
        self._missed_since = 0.0

    def joined(self) -> None:
        """Ask again, because the member has joined with a new consumer."""
        self.is_suspect |= bool(self._partitions)

    def observe(self, statistics: str) -> None:
        """Process the consumer's statistics, a JSON document."""
        position, now = statistics.find(_COORDINATOR), time.monotonic()
        if position < 0:
            return
        coordinator, _ = json.JSONDecoder().raw_decode(statistics, position + len(_COORDINATOR))
        timeouts = coordinator["req_timeouts"]
        has_timed_out = timeouts > self._timeouts
        self._timeouts = timeouts  # a new consumer starts over at 0
        self.is_suspect |= has_timed_out
        if coordinator["state"] != "UP":
            self._settled_since = None
        elif self._settled_since is None or has_timed_out:
            self._settled_since = now

    def missed(self, member_id: str, owned: frozenset[int]) -> frozenset[int]:
        """Return the partitions that no member has read for too long, and that this member could get."""
        now = time.monotonic()
        if self._request is None:
            if self.is_suspect and self._is_settled(now):
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
        return self._compare(future, member_id, owned)

    def _is_settled(self, now: float) -> bool:
        since = self._settled_since
        return since is not None and now - max(since, self._requested_at) >= SETTLED_S

    def _compare(
        self, future: Future[ConsumerGroupDescription], member_id: str, owned: frozenset[int]
    ) -> frozenset[int]:
        try:
            group = future.result()
        except KafkaException:  # unavailable: the next request asks again
            return frozenset()
        if group.state is not ConsumerGroupState.STABLE:
            return frozenset()
        owners = {
            assigned.partition: member.member_id
            for member in group.members
            if member.assignment is not None
            for assigned in member.assignment.topic_partitions
            if assigned.topic == self._topic
        }
        given = frozenset(number for number, owner in owners.items() if owner == member_id)
        missed, now = (given | self._partitions - owners.keys()) - owned, time.monotonic()
        if missed != self._missed:
            self._missed, self._missed_since = missed, now
        is_missed = bool(missed) and now - self._missed_since >= MISSED_S
        self.is_suspect = bool(missed) and not is_missed
        return missed if is_missed else frozenset()
