"""The headers on the last changelog record of each transaction and partition: how far its totals go."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from stream.core.records import Header

INPUT_NEXT_OFFSET = "input-next-offset"
DIGEST = "dictionary"
_OFFSET = re.compile(rb"0|[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class ProcessedOffset:
    """How far the totals of a partition go.

    Attributes:
        input_offset: they cover all input before this offset.
        digest: the digest of the fold that computed them.
    """

    input_offset: int
    digest: str

    def headers(self) -> list[Header]:
        """Return the two headers."""
        return [(INPUT_NEXT_OFFSET, b"%d" % self.input_offset), (DIGEST, self.digest.encode())]


def has_processed_offset(headers: Sequence[Header]) -> bool:
    """Whether both headers are among these."""
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
    return ProcessedOffset(int(offset), digest.decode())
