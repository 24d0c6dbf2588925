"""Checks that the output logs still contain what earlier transactions appended."""

import time
from collections.abc import Callable, Mapping

from confluent_kafka import Message, TopicPartition

from stream.core.dead_letter import is_dead_letter_of
from stream.core.evidence import LogEnd, LogEnds, checksum
from stream.errors import Retriable
from stream.kafka.clients import Options, make_consumer
from stream.kafka.headers import message_headers
from stream.kafka.offsets import LogPartition, Offsets
from stream.kafka.reader import FETCH_WAIT_MS, position_after, read_messages

READ_S_MAX = 10.0  # without a record
RECORDS_MAX = 500  # in memory as Python objects


class OutputLogs:
    """The logs of the result, count and dead-letter topics."""

    def __init__(self, options: Options, offsets: Offsets, topics: Mapping[str, str]) -> None:
        """`options` are those of a consumer that assigns its partitions itself."""
        self._options = options
        self._offsets = offsets
        self._topics = topics

    def forget(self) -> None:
        """Replace the client before its next request."""
        self._offsets.forget()

    def ends(self, ends: Mapping[int, LogEnds]) -> dict[int, LogEnds]:
        """Return how far the logs still match these ends, with the current leader epochs, by partition.

        One request returns the ends of all logs; input partitions may share a dead-letter log.
        A log is truncated only after an election, which starts a new leader epoch. So the last record is read
        and compared only if the epoch has changed.

        Raises:
            Retriable: the broker is unavailable.
        """
        logs = {
            (self._topics[role], each.partition) for known in ends.values() for role, each in known.items()
        }
        present = self._offsets.ends(sorted(logs))
        return {number: self._held(known, present) for number, known in ends.items()}

    def _held(self, ends: LogEnds, present: Mapping[LogPartition, tuple[int, int]]) -> LogEnds:
        """Return how far the logs of one input partition still match these ends."""
        logs = {role: (self._topics[role], end.partition) for role, end in ends.items()}
        intact = {role for role, known in ends.items() if _is_intact(known, *present[logs[role]])}
        unsure = {
            role: known
            for role, known in ends.items()
            if role not in intact and present[logs[role]][0] >= known.offset
        }
        intact |= self._compare(unsure)
        held = {}
        for role, known in ends.items():
            end, epoch = present[logs[role]]
            offset = known.offset if role in intact else min(end, known.offset - 1)
            held[role] = known._replace(offset=offset, leader_epoch=epoch)
        return held

    def has_outcomes(self, partition: int, dead_letter_partitions: int) -> bool:
        """Whether the logs contain a committed result or dead letter of this input partition and group.

        A dead-letter log may be read to its end, because input partitions share it.

        Raises:
            Retriable: the broker is unavailable.
        """
        topic, group = self._topics["input"], str(self._options["group.id"])

        def is_its_dead_letter(message: Message) -> bool:
            return is_dead_letter_of(message_headers(message), topic, partition, group)

        return self._holds((self._topics["result"], partition), lambda _: True) or self._holds(
            (self._topics["dead-letter"], partition % dead_letter_partitions), is_its_dead_letter
        )

    def _holds(self, log: LogPartition, is_wanted: Callable[[Message], bool]) -> bool:
        """Whether a log contains a committed record that is wanted."""
        first, end = self._offsets.range(*log)
        return first < end and self._read({log: first}, "read_committed", is_wanted)[log] is not None

    def _compare(self, ends: LogEnds) -> set[str]:
        """Return the roles whose log contains the last known record, or lost it to retention."""
        logs = {role: (self._topics[role], known.partition) for role, known in ends.items()}
        starts = {logs[role]: known.offset - 1 for role, known in ends.items()}
        deleted = {role for role in ends if self._offsets.range(*logs[role])[0] > starts[logs[role]]}
        for role in deleted:
            del starts[logs[role]]
        # The marker of its transaction may not be written yet, so uncommitted records are read, too.
        stored = self._read(starts, "read_uncommitted")
        same = {
            role
            for role in ends.keys() - deleted
            if (message := stored[logs[role]]) is not None
            and message.offset() == starts[logs[role]]
            and checksum(message.key(), message.value(), message_headers(message)) == ends[role].checksum
        }
        return deleted | same

    def _read(
        self,
        starts: Mapping[LogPartition, int],
        isolation: str,
        is_wanted: Callable[[Message], bool] = lambda _: True,
    ) -> dict[LogPartition, Message | None]:
        """Return the first wanted record of each log from an offset on; None if the log has none.

        Raises:
            Retriable: the broker is unavailable.
        """
        if not starts:
            return {}
        consumer = make_consumer(
            {**self._options, "isolation.level": isolation, "fetch.wait.max.ms": FETCH_WAIT_MS}
        )
        first: dict[LogPartition, Message | None] = {}
        try:
            consumer.assign(
                [TopicPartition(topic, number, start) for (topic, number), start in starts.items()]
            )
            deadline = time.monotonic() + READ_S_MAX
            while len(first) < len(starts):
                if time.monotonic() >= deadline:
                    raise Retriable(
                        f"records of {', '.join(topic for topic, _ in starts)} were not read in time"
                    )
                for message in read_messages(consumer, RECORDS_MAX, 0.5):
                    log = message.topic() or "", message.partition() or 0
                    if log in first:
                        continue
                    if message.error() is None:
                        deadline = time.monotonic() + READ_S_MAX
                        if is_wanted(message):
                            first[log] = message
                    elif position_after(message)[1] is not None:  # the end of the log
                        first[log] = None
        finally:
            consumer.close()
        return first


def _is_intact(known: LogEnd, end: int, leader_epoch: int) -> bool:
    """Whether no election, and so no truncation, happened since the end was recorded."""
    return end >= known.offset and leader_epoch == known.leader_epoch >= 0
