"""Checks that the output logs still hold what earlier transactions appended."""

import time
from collections.abc import Mapping

from confluent_kafka import Message, TopicPartition

from stream.core.evidence import LogEnd, LogEnds, checksum
from stream.errors import Retriable
from stream.kafka.clients import Options, make_consumer
from stream.kafka.headers import message_headers
from stream.kafka.offsets import Offsets
from stream.kafka.reader import position_after, read_messages

READ_S_MAX = 10.0  # to read one record


class OutputLogs:
    """The logs of result, count and dead-letter topic."""

    def __init__(self, options: Options, offsets: Offsets, topics: Mapping[str, str]) -> None:
        """`options` are those of a consumer that assigns its partitions itself."""
        self._options = options
        self._offsets = offsets
        self._topics = topics

    def ends(self, ends: LogEnds) -> LogEnds:
        """Return how far the logs hold what these ends say, with the present leader epochs.

        A log is truncated only after an election, which begins a leader epoch. So the last record is read and
        compared only if the epoch is another one.

        Raises:
            Retriable: the broker is unavailable.
        """
        logs = {role: (self._topics[role], end.partition) for role, end in ends.items()}
        present = self._offsets.ends(list(logs.values()))
        held = {}
        for role, known in ends.items():
            end, epoch = present[logs[role]]
            is_same_epoch = epoch == known.leader_epoch >= 0
            if end >= known.offset and (is_same_epoch or self._holds(self._topics[role], known)):
                offset = known.offset
            else:
                offset = min(end, known.offset - 1)
            held[role] = known._replace(offset=offset, leader_epoch=epoch)
        return held

    def has_results(self, partition: int) -> bool:
        """Whether the result topic holds a committed record of this partition."""
        topic = self._topics["result"]
        first, end = self._offsets.range(topic, partition)
        return first < end and self._read(topic, partition, first, "read_committed") is not None

    def _holds(self, topic: str, known: LogEnd) -> bool:
        """Whether the log holds the last known record, or retention deleted it."""
        start = known.offset - 1
        if self._offsets.range(topic, known.partition)[0] > start:
            return True
        # The marker of its transaction may not be written yet, so uncommitted records are read, too.
        message = self._read(topic, known.partition, start, "read_uncommitted")
        if message is None or message.offset() != start:
            return False
        return checksum(message.key(), message.value(), message_headers(message)) == known.checksum

    def _read(self, topic: str, partition: int, start: int, isolation: str) -> Message | None:
        """Return the first record from `start` on; None if the log ends before one.

        Raises:
            Retriable: the broker is unavailable.
        """
        consumer = make_consumer({**self._options, "isolation.level": isolation})
        try:
            consumer.assign([TopicPartition(topic, partition, start)])
            deadline = time.monotonic() + READ_S_MAX
            while time.monotonic() < deadline:
                for message in read_messages(consumer, 1, 0.5):
                    if message.error() is None:
                        return message
                    if position_after(message)[1] is not None:  # the end of the log
                        return None
        finally:
            consumer.close()
        raise Retriable(f"{topic}, partition {partition}: the record at offset {start} was not read in time")
