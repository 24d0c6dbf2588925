"""The headers on the last changelog record of each transaction and partition: what its totals stand for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from stream.core.records import Header

INPUT_NEXT_OFFSET = "input-next-offset"
DICTIONARY = "dictionary"
_OFFSET = re.compile(rb"0|[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class ProcessedOffset:
    """What the totals of a partition stand for.

    Attributes:
        input_offset: the input's next offset.
        dictionary: digest of the dictionary counted with.
    """

    input_offset: int
    dictionary: str

    def headers(self) -> list[Header]:
        """Return the headers that say so."""
        return [(INPUT_NEXT_OFFSET, b"%d" % self.input_offset), (DICTIONARY, self.dictionary.encode())]


def has_processed_offset(headers: Sequence[Header]) -> bool:
    """Whether these headers say how far totals go."""
    return {INPUT_NEXT_OFFSET, DICTIONARY} <= {name for name, _ in headers}


def read_processed_offset(headers: Sequence[Header]) -> ProcessedOffset | None:
    """Read the headers of a changelog record; None where it is not the last of its transaction.

    Raises:
        ValueError: the headers are there and are not ours.
    """
    if not headers:
        return None
    named = dict(headers)
    offset, dictionary = named.get(INPUT_NEXT_OFFSET), named.get(DICTIONARY)
    if offset is None or dictionary is None:
        return None
    if not _OFFSET.fullmatch(offset):
        raise ValueError(f"not an offset: {offset[:20]!r}")
    return ProcessedOffset(int(offset), dictionary.decode())
