"""The headers of the dead-letter record that marks a deliberately skipped range of input.

`anagram-stream offsets skip` writes one such record for a range of input offsets. Its value is null.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from stream.core.records import Header

SKIPPED = "skipped"
"""The value of `dead-letter.reason`; no rejected record has it."""
_REASON, _GROUP, _TO = "dead-letter.reason", "dead-letter.group", "skipped.to"
_TOPIC, _PARTITION, _FIRST = "__streams.errors.topic", "__streams.errors.partition", "__streams.errors.offset"
_COUNTED_TO = "skipped.counted-to"
_NUMBER = re.compile(rb"0|[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class SkippedRange:
    """Input that was skipped deliberately.

    Attributes:
        first: the first skipped offset.
        end: the offset after the last skipped one.
        counted_to: the totals cover the input before this offset; only its outcomes were lost.
    """

    partition: int
    first: int
    end: int
    counted_to: int = 0

    def __contains__(self, offset: int) -> bool:
        return self.first <= offset < self.end

    def headers(self, topic: str, group: str) -> list[Header]:
        """Return the headers of the record for this range of the input `topic`, skipped by `group`."""
        texts = {
            _TOPIC: topic,
            _PARTITION: str(self.partition),
            _FIRST: str(self.first),
            _TO: str(self.end),
            _REASON: SKIPPED,
            _GROUP: group,
            **({_COUNTED_TO: str(self.counted_to)} if self.counted_to else {}),
        }
        return [(name, text.encode()) for name, text in texts.items()]


def read_skipped(headers: Sequence[Header]) -> SkippedRange | None:
    """Read the headers of a record in the dead-letter topic; None if it is not one of a skipped range."""
    values = dict(headers)
    numbers = [values.get(name) or b"" for name in (_PARTITION, _FIRST, _TO)]
    numbers.append(values.get(_COUNTED_TO, b"0") or b"")
    if values.get(_REASON) != SKIPPED.encode() or not all(map(_NUMBER.fullmatch, numbers)):
        return None
    partition, first, end, counted_to = map(int, numbers)
    return SkippedRange(partition, first, end, counted_to) if first < end else None
