"""Which records of the input are due: all that stands between a seek and a lost record."""

from collections.abc import Mapping

from confluent_kafka import Message


class Positions:
    """Three things, by partition.

    Attributes:
        position: the next offset to deliver; present exactly while the partition is started.
        seek: where the consumer must go before anything of the partition counts again.
        unconfirmed: after a seek, until the first record: the offset that came instead of the one asked
            for. A gap is believed when it comes twice (markers and compaction leave such gaps); a record
            from before the seek does not.
    """

    def __init__(self) -> None:
        self.position: dict[int, int] = {}
        self.seek: dict[int, int] = {}
        self.unconfirmed: dict[int, int | None] = {}

    def start(self, partition: int, offset: int) -> None:
        """Begin, or go on, at `offset`; the consumer was sent there."""
        self.position[partition] = offset
        self.unconfirmed[partition] = None

    def rewind(self, offsets: Mapping[int, int]) -> None:
        """Go back; the consumer is still to be sent there."""
        for partition, offset in offsets.items():
            if partition in self.position:
                self.start(partition, offset)
                self.seek[partition] = offset

    def drop(self, partition: int) -> None:
        """Deliver nothing of this partition."""
        self.position.pop(partition, None)
        self.seek.pop(partition, None)
        self.unconfirmed.pop(partition, None)

    def take(self, partition: int | None, messages: list[Message]) -> list[Message]:
        """Return those of a partition's messages, in the log's order, whose turn it is; move on."""
        if not messages or partition is None or (expected := self.position.get(partition)) is None:
            return []
        first, last = messages[0].offset(), messages[-1].offset()
        settled = partition not in self.seek and partition not in self.unconfirmed
        # The order is strict: so many records within so many offsets leave no gap.
        if settled and first == expected and last == expected + len(messages) - 1:
            self.position[partition] = expected + len(messages)
            return messages
        return [message for message in messages if self._moves_on(partition, message.offset())]

    def _moves_on(self, partition: int, offset: int | None) -> bool:
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
