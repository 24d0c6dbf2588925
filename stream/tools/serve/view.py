"""The view: totals and outcomes read from the three output topics. One thread writes, others read."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from stream.config import Settings
from stream.core.fold import Changes
from stream.errors import Fatal
from stream.kafka.offsets import LogPartition
from stream.store.view import ViewStore, outcome_key, outcome_position
from stream.tools.serve.freshness import Freshness, ReachedEnds
from stream.tools.serve.outcomes import DEAD_LETTER, KINDS, RESULT, ReadOutcome, read_value
from stream.tools.serve.totals import SummedTotals

_TOTALS_WRITTEN_S = 1.0  # totals are written this often: a hot one changes with every transaction
_RESULTS = "results"
_REASON, _FIRST = "reason ", "first "


class Outcome(NamedTuple):
    """A result or dead letter, and where it is.

    Attributes:
        kind: `result` or `dead-letter`.
        partition, offset: its position in its own topic.
        timestamp_ms: timestamp of the input record.
        fields: fields of the result, or of the dead letter without key and value.
    """

    kind: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    fields: Mapping[str, Any]


class View:
    """Totals and outcomes up to the positions of the reader.

    Attributes:
        totals: the sums by signature.
        positions: the next offset to read, by topic and partition.
        dead_letters: number of dead letters read, by reason.
        results: number of results read.
        reached: determines the age of the view.
    """

    def __init__(self, settings: Settings, store: ViewStore) -> None:
        """Load the content of the store.

        Raises:
            Fatal: the store cannot be read.
        """
        self._settings = settings
        self._store = store
        self._topics = {RESULT: settings.result_topic, DEAD_LETTER: settings.dead_letter_topic}
        self.totals = SummedTotals()
        self.positions: dict[LogPartition, int] = dict(store.positions())
        self.reached = ReachedEnds()
        numbers = store.numbers()
        self.results = numbers.get(_RESULTS, 0)
        self.dead_letters: Counter[str] = Counter(
            {name.removeprefix(_REASON): n for name, n in numbers.items() if name.startswith(_REASON)}
        )
        self._firsts = {name: n for name, n in numbers.items() if name.startswith(_FIRST)}
        self._unwritten: dict[int, dict[bytes, bytes]] = {}
        self._written_at = time.monotonic()
        self._listeners: list[Callable[[], None]] = []
        stored: dict[int, dict[bytes, bytes]] = {}
        for partition, signature, total in store.totals():
            stored.setdefault(partition, {})[signature] = total
        for partition, changes in stored.items():
            self._apply_totals(partition, changes)

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Call `listener` in the writing thread after each change."""
        self._listeners.append(listener)

    def apply_totals(self, partition: int, changes: Changes, position: int) -> None:
        """Apply new totals of a partition.

        Raises:
            Fatal: a value is not a total.
        """
        self._apply_totals(partition, changes)
        self._unwritten.setdefault(partition, {}).update(changes)
        self.positions[self._settings.count_topic, partition] = position

    def apply_outcomes(
        self, kind: bytes, partition: int, outcomes: Collection[tuple[int, ReadOutcome]], position: int
    ) -> None:
        """Store outcomes of a partition of the result or the dead-letter topic, with their offsets.

        Raises:
            Fatal: the store cannot be written.
        """
        batch = self._store.batch()
        for offset, outcome in outcomes:
            key = outcome_key(kind, partition, offset)
            batch.put_outcome(key, outcome.blob_id, outcome.source, outcome.value)
        if outcomes and (first := _first_name(kind, partition)) not in self._firsts:
            self._firsts[first] = next(iter(outcomes))[0]
            batch.put_number(first, self._firsts[first])
        if kind == RESULT:
            self.results += len(outcomes)
            batch.put_number(_RESULTS, self.results)
        else:
            self.dead_letters.update(outcome.reason for _, outcome in outcomes)
            for reason in {outcome.reason for _, outcome in outcomes}:
                batch.put_number(_REASON + reason, self.dead_letters[reason])
        batch.put_position(self._topics[kind], partition, position)
        batch.write()
        self.positions[self._topics[kind], partition] = position

    def applied(self) -> None:
        """Finish one read: update the age, write totals if they are due, call listeners."""
        self.reached.update(self.positions)
        if self._unwritten and time.monotonic() - self._written_at >= _TOTALS_WRITTEN_S:
            self.write_totals()
        for listener in self._listeners:
            listener()

    def write_totals(self) -> None:
        """Write the totals that changed since the last time, with their positions."""
        batch = self._store.batch()
        for partition, changes in self._unwritten.items():
            batch.put_totals(partition, changes)
            topic = self._settings.count_topic
            batch.put_position(topic, partition, self.positions[topic, partition])
        batch.write()
        self._unwritten.clear()
        self._written_at = time.monotonic()

    def outcome_of_blob(self, blob_id: str) -> Outcome | None:
        """Return the newest outcome of a blob id; None if none was read, or it is no longer kept."""
        return self._outcome_at(self._store.newest_outcome(blob_id.encode()))

    def outcome_of_input(self, partition: int, offset: int) -> Outcome | None:
        """Return the outcome of an input record."""
        return self._outcome_at(self._store.outcome_of_source(partition, offset))

    def outcomes_from(self, kind: bytes, partition: int, offset: int) -> Iterator[Outcome]:
        """Yield the outcomes of a partition of the result or the dead-letter topic, from an offset on."""
        for own_offset, value in self._store.outcomes_from(kind, partition, offset):
            yield Outcome(KINDS[kind], self._topics[kind], partition, own_offset, *read_value(value))

    def is_kept_from(self, kind: bytes, partition: int, offset: int) -> bool:
        """Whether no outcome of a partition from this offset on was deleted to keep the store small."""
        oldest = next(self._store.outcomes_from(kind, partition, 0), None)
        first = self._firsts.get(_first_name(kind, partition), 0)
        return oldest is None or oldest[0] <= max(first, offset)

    def close(self) -> None:
        """Write what was read, and close the store."""
        self.write_totals()
        self._store.close()

    def freshness(self, *topics: str) -> Freshness:
        """Return what a response based on these topics covers."""
        offsets: dict[str, dict[int, int]] = {topic: {} for topic in topics}
        for (topic, partition), position in sorted(self.positions.items()):
            if topic in offsets:
                offsets[topic][partition] = position
        return Freshness(self.reached.age_s(topics, time.monotonic()), offsets)

    @property
    def outcome_topics(self) -> Mapping[bytes, str]:
        """The topic of each kind of outcome."""
        return self._topics

    def _outcome_at(self, key: bytes | None) -> Outcome | None:
        value = None if key is None else self._store.outcome(key)
        if key is None or value is None:
            return None
        kind, partition, offset = outcome_position(key)
        return Outcome(KINDS[kind], self._topics[kind], partition, offset, *read_value(value))

    def _apply_totals(self, partition: int, changes: Changes) -> None:
        try:
            self.totals.apply(partition, changes)
        except ValueError as error:
            topic = self._settings.count_topic
            raise Fatal(f"partition {partition} of {topic} has an invalid total: {error}") from error


def _first_name(kind: bytes, partition: int) -> str:
    return f"{_FIRST}{kind.decode()}{partition}"
