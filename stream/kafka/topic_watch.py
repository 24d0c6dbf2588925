"""Watches the ids of the four topics: a topic that is deleted and created again has a new id (KIP-516).

librdkafka 2.16 silently continues at the same offset in a new topic of the same name, and produces to it. So
each transaction requests the ids after its last record was delivered, and compares them before it commits.
This proves that the polled records and the produced totals are in the topics that the worker started with.
The offsets are sent meanwhile, which saves a round trip. The result and dead-letter topics are compared only
once a second, because each topic takes time: all four take 1.5 ms with 4 partitions, 8.5 ms with 64.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import TopicCollection

from stream.core.evidence import TOPICS_CHANGED_HINT, TOPICS_DELETED_HINT, TopicIds
from stream.errors import LogsChanged, Retriable
from stream.kafka.clients import Admin
from stream.kafka.futures import existing_results

REQUEST_TIMEOUT_S = 5.0
MISSING_S_MAX = 10.0  # a broker that restarts may not know all topics at once
OUTCOMES_CHECKED_S = 1.0


_Described = tuple[Admin, Mapping[Any, Future[Any]]]
"""A client, which must live as long as it waits for responses, and the responses by topic."""


class TopicWatch:
    """Compares the ids of the topics with those that the worker started with."""

    def __init__(self, make_admin: Callable[[], Admin], names: Mapping[str, str], ids: TopicIds) -> None:
        """`names` and `ids` are by role."""
        self.ids = ids
        self._make_admin = make_admin
        self._names = names
        self._admin: Admin | None = None
        self._missing_since: float | None = None
        self._all_checked_at = -OUTCOMES_CHECKED_S

    def forget(self) -> None:
        """Replace the client before its next request."""
        self._admin = None

    def request_due(self) -> Callable[[], None]:
        """Request the ids of the input and count topics, and once a second also those of the other topics.

        Returns:
            A function that waits for the response and compares the ids. It must be called once: a client
            that is discarded before it has its response may never terminate.

        Raises:
            LogsChanged, Retriable: as `check`, but from the returned function.
        """
        requested_at = time.monotonic()
        is_due = requested_at - self._all_checked_at >= OUTCOMES_CHECKED_S
        names = self._names if is_due else {role: self._names[role] for role in ("input", "count")}
        futures = self._request(names)

        def compare() -> None:
            self._compare(names, futures)
            if is_due:
                self._all_checked_at = requested_at

        return compare

    def check(self) -> None:
        """Check all four topics.

        Raises:
            LogsChanged: a topic was deleted, or created again.
            Retriable: the broker is unavailable, or currently does not know a topic.
        """
        requested_at = time.monotonic()
        self._compare(self._names, self._request(self._names))
        self._all_checked_at = requested_at

    def _request(self, names: Mapping[str, str]) -> _Described:
        if self._admin is None:
            self._admin = self._make_admin()
        topics = TopicCollection(list(names.values()))
        return self._admin, self._admin.describe_topics(topics, request_timeout=REQUEST_TIMEOUT_S)

    def _compare(self, names: Mapping[str, str], futures: _Described) -> None:
        try:
            described = existing_results(futures[1])
        except Retriable:
            self._admin = self._missing_since = None
            raise
        missing = [name for name in names.values() if name not in described]
        if missing:
            self._check_missing(missing)
        self._missing_since = None
        for role, name in names.items():
            topic_id = str(described[name].topic_id)
            if topic_id != self.ids[role]:
                raise LogsChanged(
                    f"the topic {name} was deleted and created again (id {self.ids[role]} before, {topic_id} "
                    "now)",
                    TOPICS_CHANGED_HINT,
                )

    def _check_missing(self, missing: list[str]) -> None:
        now = time.monotonic()
        if self._missing_since is None:
            self._missing_since = now
        noun, verb = ("topic", "was") if len(missing) == 1 else ("topics", "were")
        topics = f"the {noun} {', '.join(missing)}"
        if now - self._missing_since < MISSING_S_MAX:
            raise Retriable(f"the broker does not know {topics}")
        raise LogsChanged(f"{topics} {verb} deleted", TOPICS_DELETED_HINT)
