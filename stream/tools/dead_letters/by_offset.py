"""Reads single records by their offset: originals of dead letters, and the dead letters that a file names."""

from collections.abc import Generator, Iterator

from stream.errors import Fatal
from stream.kafka.clients import Admin, Options
from stream.kafka.offsets import offset_ranges
from stream.tools.kafka.topic_reader import StoredRecord, read_topic

OFFSET_MAX = 2**63 - 1
READ_ON_OFFSETS = 2_000  # a record at most this far ahead is reached by reading on


class RecordsByOffset:
    """Reads single records of a topic; nearby records of a partition are read in one pass.

    It has at most one consumer at a time.
    """

    def __init__(self, options: Options, admin: Admin, topic: str, partitions: int) -> None:
        """`options` are those of a consumer that assigns its partitions itself.

        Raises:
            Retriable: the broker is unavailable.
        """
        self._options, self._admin, self._topic = options, admin, topic
        self._ranges = offset_ranges(admin, topic, range(partitions), stable=True)
        self._reading: Iterator[StoredRecord] = iter(())
        self._partition, self._position = -1, 0  # after the record that was read last
        self._last: StoredRecord | None = None

    def holds(self, partition: int, offset: int) -> bool:
        """Whether the offset is within the log."""
        first, end = self._ranges.get(partition, (0, 0))
        return first <= offset < end

    def is_deleted(self, partition: int, offset: int) -> bool:
        """Whether the log starts after the offset."""
        return offset < self._ranges[partition][0]

    def read(self, partition: int, offset: int) -> StoredRecord | None:
        """Return the record at an offset; None if the log has no committed record there.

        Raises:
            Retriable: the broker is unavailable.
        """
        if not self.holds(partition, offset):
            return None
        try:
            return self._read(partition, offset)
        except Fatal:  # perhaps retention deleted it since the start
            self.close()
            self._ranges = offset_ranges(self._admin, self._topic, list(self._ranges), stable=True)
            if self.holds(partition, offset):
                raise
            return None

    def _read(self, partition: int, offset: int) -> StoredRecord | None:
        if partition != self._partition or not 0 <= offset - self._position <= READ_ON_OFFSETS:
            self._start(partition, offset)
        while self._position <= offset:
            self._last = next(self._reading, None)
            self._position = OFFSET_MAX if self._last is None else self._last.offset + 1
        return self._last if self._last is not None and self._last.offset == offset else None

    def close(self) -> None:
        """Close the consumer."""
        if isinstance(self._reading, Generator):
            self._reading.close()
        self._partition = -1

    def _start(self, partition: int, offset: int) -> None:
        self.close()
        ends = {partition: self._ranges[partition][1]}
        self._reading = read_topic(
            self._options, self._admin, self._topic, start={partition: offset}, ends=ends
        )
        self._partition, self._position, self._last = partition, offset, None
