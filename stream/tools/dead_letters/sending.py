"""Sends the records of dead letters in transactions; after a failure, continues from the last commit."""

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace

from stream.config import Settings
from stream.core.records import record_bytes
from stream.errors import Abortable, InDoubt, Refused, Retriable
from stream.kafka.clients import Admin
from stream.kafka.topics import Topics
from stream.tools.dead_letters.state import ReplayState
from stream.tools.dead_letters.transactions import Replayed, ReplayTransactions

BATCH_RECORDS, BATCH_BYTES = 500, 4 * 1024 * 1024
RATE_BATCH_S = 0.5  # with a rate, a transaction covers this time
RETRY_S, RETRY_S_MAX = 0.5, 90.0  # wait before a retry; without a commit for the longer time, give up
REPLAYS_MAX = 3
AGAIN = "run the command again: it sends the remaining dead letters, each once"

Unsent = tuple[int, int]
"""Partition and offset of a dead letter that must not be sent."""
Read = Callable[[ReplayState], Generator[Replayed | Unsent]]
"""Reads what to send, in the order of each partition if positions are to advance."""


@dataclass(frozen=True, slots=True)
class ReplayLimits:
    """Limits on number and rate.

    Attributes:
        letters_max: maximum number of dead letters to send; None for no limit.
        rate: dead letters per second; None: as fast as possible.
        replays_max: dead letters whose record was replayed this many times are left out.
    """

    letters_max: int | None = None
    rate: float | None = None
    replays_max: int = REPLAYS_MAX

    @property
    def batch_records(self) -> int:
        """Number of dead letters in one transaction."""
        rate = BATCH_RECORDS if self.rate is None else int(self.rate * RATE_BATCH_S)
        return max(1, min(BATCH_RECORDS, rate))

    def reached(self, number: int) -> bool:
        """Whether this number reaches the limit."""
        return self.letters_max is not None and number >= self.letters_max


class Sending:
    """Sends what `read` yields.

    Attributes:
        sent: number of dead letters that were sent, by reason of the rejection.
    """

    def __init__(
        self, settings: Settings, admin: Admin, topics: Topics, limits: ReplayLimits, *, in_order: bool
    ) -> None:
        """With `in_order`, positions advance: `read` yields every dead letter that was not replayed."""
        self._settings, self._admin, self._topics = settings, admin, topics
        self._limits = limits
        self._in_order = in_order
        self._in_flight: list[Replayed] = []
        self.sent = Counter[str]()

    def run(self, read: Read, on_progress: Callable[[int], None]) -> None:
        """Send the dead letters that are in the topic now; `on_progress` takes the number sent so far.

        Raises:
            Refused: Kafka is unavailable for too long, or another replay started.
        """
        ends: Mapping[int, int] | None = None
        failing_since: float | None = None  # without a committed transaction since then
        retry_s_max = RETRY_S_MAX + self._settings.transaction_timeout_ms / 1000
        with ReplayTransactions(self._settings, self._admin, self._topics) as transactions:
            while True:
                sent_before = self.sent.total()
                try:
                    state = transactions.open()
                    ends = ends or state.ends  # later dead letters may be those of records sent here
                    self._count_in_flight(state)
                    self._send_all(transactions, read, replace(state, ends=ends), on_progress)
                except (Abortable, InDoubt, Retriable) as why:
                    now = time.monotonic()
                    if failing_since is None or self.sent.total() > sent_before:
                        failing_since = now
                    if now - failing_since > retry_s_max:
                        message = f"Kafka accepted no records for {retry_s_max:.0f} s: {why}"
                        raise Refused(message, AGAIN) from why
                    time.sleep(RETRY_S)
                else:
                    return

    def _send_all(
        self,
        transactions: ReplayTransactions,
        read: Read,
        state: ReplayState,
        on_progress: Callable[[int], None],
    ) -> None:
        began, sent_before = time.monotonic(), self.sent.total()
        with closing(read(state)) as items:
            for batch, positions in self._batches(items):
                self._in_flight = batch
                transactions.send(batch, positions if self._in_order else state.start)
                self._in_flight = []
                self.sent.update(each.reason for each in batch)
                on_progress(self.sent.total())
                if self._limits.rate is not None:
                    due = began + (self.sent.total() - sent_before) / self._limits.rate
                    time.sleep(max(0.0, due - time.monotonic()))

    def _batches(self, items: Iterable[Replayed | Unsent]) -> Iterator[tuple[list[Replayed], dict[int, int]]]:
        """Yield batches to send, and the positions of the partitions after each.

        The position is that of the first dead letter that is not sent, so that a later replay reads it.
        """
        batch, size, planned = list[Replayed](), 0, self.sent.total()
        unsent, positions = dict[int, int](), dict[int, int]()
        if self._limits.reached(planned):
            return
        for item in items:
            partition, offset = item[:2]
            if not isinstance(item, Replayed):
                unsent.setdefault(partition, offset)
                continue
            batch.append(item)
            size += record_bytes(item.record.key, item.record.value, item.record.headers)
            positions[partition] = unsent.get(partition, offset + 1)
            is_last = self._limits.reached(planned + len(batch))
            if is_last or len(batch) >= self._limits.batch_records or size >= BATCH_BYTES:
                yield batch, positions
                planned += len(batch)
                batch, size = [], 0
            if is_last:
                return
        if batch:
            yield batch, positions

    def _count_in_flight(self, state: ReplayState) -> None:
        """Count the dead letters of a transaction that was in doubt, if it was committed."""
        self.sent.update(e.reason for e in self._in_flight if state.has(e.partition, e.offset))
        self._in_flight = []
