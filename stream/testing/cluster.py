"""A Kafka cluster in memory: deterministic, on a virtual clock, without threads.

It gives those guarantees of Kafka that exactness depends on:
    log           markers take offsets; read_committed sees neither open nor aborted transactions
    transactions  a new producer of an id fences the older one; a transaction that is open for too long
                  is aborted; markers reach logs and offsets at different times
    group         incremental assignment, sessions, epochs checked with transactional offsets, stable offsets
It supports nothing else.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress

from stream.core.records import Header
from stream.errors import Abortable, Fenced
from stream.testing.clock import FakeClock
from stream.testing.group import FakeGroup
from stream.testing.log import Entry, PartitionLog, Record
from stream.testing.transactions import Coordinator

SESSION_TIMEOUT_S = 45.0
POLL_INTERVAL_S_MAX = 300.0
TRANSACTION_TIMEOUT_S = 10.0
_ALL = 1 << 60


class FakeCluster:
    """Topics, groups and the transaction coordinator.

    Attributes:
        clock: shared by all parts.
        coordinator: the transaction coordinator.
    """

    def __init__(
        self,
        clock: FakeClock | None = None,
        *,
        session_timeout_s: float = SESSION_TIMEOUT_S,
        transaction_timeout_s: float = TRANSACTION_TIMEOUT_S,
        poll_interval_s_max: float = POLL_INTERVAL_S_MAX,
        classic: bool = False,
    ) -> None:
        """`classic` chooses the classic group protocol."""
        self.clock = clock or FakeClock()
        self.coordinator = Coordinator(self.clock, transaction_timeout_s)
        self._session_timeout_s = session_timeout_s
        self._poll_interval_s_max = poll_interval_s_max
        self._classic = classic
        self._topics: dict[str, list[PartitionLog]] = {}
        self._topic_ids: dict[str, str] = {}
        self._created = 0
        self._groups: dict[tuple[str, str], FakeGroup] = {}
        self._in_flight: list[tuple[float, Callable[[], object]]] = []

    def create(self, topic: str, partitions: int) -> None:
        """Create a topic, or add partitions to one."""
        if topic not in self._topics:
            self._created += 1
            self._topic_ids[topic] = f"topic-{self._created}"
        logs = self._topics.setdefault(topic, [])
        logs.extend(PartitionLog() for _ in range(partitions - len(logs)))

    def delete(self, topic: str) -> None:
        """Delete a topic and its records; Kafka also deletes the committed offsets of its groups."""
        del self._topics[topic]
        for (_, of_topic), group in self._groups.items():
            if of_topic == topic:
                group.forget_offsets()

    def topic_id(self, topic: str) -> str | None:
        """Return the id of a topic, None if it does not exist; a topic that is created again has a new id."""
        return self._topic_ids.get(topic) if topic in self._topics else None

    def partitions(self, topic: str) -> int:
        """Return the number of partitions of a topic; 0 if it does not exist."""
        return len(self._topics.get(topic, ()))

    def log(self, topic: str, partition: int) -> PartitionLog:
        """Return a partition's log, as it is now."""
        self.settle()
        return self._topics[topic][partition]

    def group(self, group_id: str, topic: str) -> FakeGroup:
        """Return the group on this topic; the first call creates it."""
        key = (group_id, topic)
        if key not in self._groups:
            self._groups[key] = FakeGroup(
                self.clock,
                self.partitions(topic),
                self._session_timeout_s,
                self._poll_interval_s_max,
                classic=self._classic,
            )
        return self._groups[key]

    def produce(
        self,
        topic: str,
        partition: int,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[Header] = (),
    ) -> int:
        """Append a record outside any transaction; return its offset."""
        timestamp_ms = int(self.clock.now() * 1000)
        return self.log(topic, partition).append(Record(key, value, headers, timestamp_ms))

    def committed(self, topic: str, partition: int) -> list[tuple[int, Record]]:
        """Return the offsets and records that a read_committed reader sees now."""
        return [_pair(entry) for entry in self.log(topic, partition).read(0, _ALL).entries]

    def later(self, seconds: float, request: Callable[[], object]) -> None:
        """Let a request arrive after `seconds`; no one waits for its response."""
        self._in_flight.append((self.clock.monotonic() + seconds, request))

    def is_settled(self) -> bool:
        """Whether no request is in flight, no transaction open and no marker pending."""
        return not self._in_flight and self.coordinator.is_settled()

    def settle(self) -> None:
        """Apply everything that is due: late requests, timeouts, markers."""
        now = self.clock.monotonic()
        due = [request for arrival, request in self._in_flight if arrival <= now]
        if due:
            self._in_flight = [(arrival, request) for arrival, request in self._in_flight if arrival > now]
            for request in due:
                with suppress(Fenced, Abortable):  # no one waits for the response
                    request()
        self.coordinator.settle()
        for group in self._groups.values():
            group.settle()


def _pair(entry: Entry) -> tuple[int, Record]:
    assert entry.record is not None
    return entry.offset, entry.record
