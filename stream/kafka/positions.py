"""Decides which records of the input are due, so that a seek neither loses nor repeats records."""

from collections.abc import Mapping

from confluent_kafka import Message


class Positions:
    """Positions of the resumed partitions.

    Attributes:
        position: partition -> next offset to deliver; present exactly while the partition is resumed.
        seek: partition -> offset that the consumer must seek to before its records are due again.
        unconfirmed: partition without a due record since its seek -> the offset that arrived instead of the
            requested one, or None. If the same offset arrives after another seek, the log has a gap there
            (markers, compaction); a record from before the seek does not arrive twice.
    """

    def __init__(self) -> None:
        self.position: dict[int, int] = {}
        self.seek: dict[int, int] = {}
        self.unconfirmed: dict[int, int | None] = {}

    def resume_from(self, partition: int, offset: int) -> None:
        """Deliver from `offset`; the consumer has already moved there."""
        self.position[partition] = offset
        self.unconfirmed[partition] = None

    def rewind(self, offsets: Mapping[int, int]) -> None:
        """Deliver again from these offsets; the consumer must still seek to them."""
        for partition, offset in offsets.items():
            if partition in self.position:
                self.resume_from(partition, offset)
                self.seek[partition] = offset

    def drop(self, partition: int) -> None:
        """Stop delivering this partition."""
        self.position.pop(partition, None)
        self.seek.pop(partition, None)
        self.unconfirmed.pop(partition, None)

    def take_due(self, partition: int | None, messages: list[Message]) -> list[Message]:
        """Return the messages of a partition that are due, in log order; advance the position."""
        if not messages or partition is None or (expected := self.position.get(partition)) is None:
            return []
        first, last = messages[0].offset(), messages[-1].offset()
        settled = partition not in self.seek and partition not in self.unconfirmed
        # Offsets increase strictly: n records within n offsets leave no gap.
        if settled and first == expected and last == expected + len(messages) - 1:
            self.position[partition] = expected + len(messages)
            return messages
        return [message for message in messages if self._advance(partition, message.offset())]

    def _advance(self, partition: int, offset: int | None) -> bool:
        assert offset is not None
        if not self._is_due(partition, offset):
            return False
        self.position[partition] = offset + 1
        return True

    def _is_due(self, partition: int, offset: int) -> bool:
        expected = self.position[partition]
        if partition in self.seek or offset < expected:
            return False
        if partition in self.unconfirmed:
            if offset != expected and self.unconfirmed[partition] != offset:
                self.unconfirmed[partition] = offset
                self.seek[partition] = expected
                return False
            del self.unconfirmed[partition]
        return True
