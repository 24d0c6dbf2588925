"""The headers on the last changelog record of each transaction and partition: how far its totals go."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from stream.core.records import Header

INPUT_NEXT_OFFSET = "input-next-offset"
DIGEST = "dictionary"
INPUT_TOPIC = "input-topic"
PROCESSED_KEY = b"\x00processed"
"""Key of the record that a transaction without changed totals writes, so that each commit has a record."""
_OFFSET = re.compile(rb"0|[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class ProcessedOffset:
    """How far the totals of a partition go.

    Attributes:
        input_offset: they cover all input before this offset.
        digest: the digest of the fold that computed them.
        input_topic: id of the topic that the offset belongs to; None if an earlier version wrote the record.
    """

    input_offset: int
    digest: str
    input_topic: str | None = None

    def headers(self) -> list[Header]:
        """Return the headers of the transaction's last changelog record of the partition."""
        headers: list[Header] = [
            (INPUT_NEXT_OFFSET, b"%d" % self.input_offset),
            (DIGEST, self.digest.encode()),
        ]
        return headers if self.input_topic is None else [*headers, (INPUT_TOPIC, self.input_topic.encode())]


def has_processed_offset(headers: Sequence[Header]) -> bool:
    """Whether these include the two headers that every version writes."""
    return {INPUT_NEXT_OFFSET, DIGEST} <= {name for name, _ in headers}


def read_processed_offset(headers: Sequence[Header]) -> ProcessedOffset | None:
    """Read the headers of a changelog record; None if it is not the last of its transaction.

    Raises:
        ValueError: no worker writes such values.
    """
    if not headers:
        return None
    values = dict(headers)
    offset, digest = values.get(INPUT_NEXT_OFFSET), values.get(DIGEST)
    if offset is None or digest is None:
        return None
    if not _OFFSET.fullmatch(offset):
        raise ValueError(f"not an offset: {offset[:20]!r}")
    topic = values.get(INPUT_TOPIC)
    return ProcessedOffset(int(offset), digest.decode(), None if topic is None else topic.decode())
