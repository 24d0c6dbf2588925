"""Recomputes the outcome that an input record must have, from the definition in `core/decide`."""

from typing import Literal

from stream.core.cloud_events import without_event_id
from stream.core.codec import decode_blob, is_structured_event
from stream.core.decide import Decider, Decision
from stream.core.dictionary import AnagramIndex
from stream.core.records import InputRecord
from stream.errors import Reason, Rejected

MEMO_TEXTS_MAX = 4_096
MEMO_TEXT_CHARS_MAX = 4_096


Expected = tuple[str, Decision] | Reason
"""Blob id and counts, or why the record is rejected."""
InputFormat = Literal["text", "json"]
_OF_SETTINGS = frozenset({Reason.TEXT_TOO_LARGE, Reason.BAD_JSON, Reason.WRONG_SHAPE})
_FORMATS: tuple[InputFormat, InputFormat] = ("text", "json")
_NO_LIMIT = 2**63 - 1


class ExpectedOutcomes:
    """Computes the expected outcome of input records: counts, or the reason for a rejection.

    Equal texts are counted once while they are in the memo.
    """

    def __init__(self, index: AnagramIndex, input_format: InputFormat, text_bytes_max: int) -> None:
        self._decide = Decider(index).decide
        self._input_format: InputFormat = input_format
        self._text_bytes_max = text_bytes_max
        self._memo: dict[str, Decision] = {}

    def of(self, record: InputRecord) -> Expected:
        """Return the outcome under these settings."""
        return self._under(record, self._input_format, self._text_bytes_max)

    def is_explained(self, record: InputRecord, reason: str, limit: int | None) -> bool:
        """Whether other settings or an earlier version explain a rejection for this reason.

        The input format and the text limit may have changed since. `limit` is the text limit that the dead
        letter names, or None.
        """
        record = _as_before_0_2(record)
        if reason == Reason.CONTENT_TYPE:
            return is_structured_event(record.headers)
        if reason not in {*_OF_SETTINGS, Reason.UNDECODABLE}:  # also for a text that is now too large
            return False
        bytes_max = limit if reason == Reason.TEXT_TOO_LARGE else _NO_LIMIT
        return bytes_max is not None and any(
            self._under(record, each, bytes_max) == reason for each in _FORMATS
        )

    def explanations(self, record: InputRecord, rejected: Reason) -> list[tuple[str, Decision]]:
        """Return the results that other settings or an earlier version give for a rejected record."""
        if rejected not in {*_OF_SETTINGS, Reason.SCHEMA_REGISTRY}:
            return []
        outcomes = [self._under(_as_before_0_2(record), each, _NO_LIMIT) for each in _FORMATS]
        return [each for each in outcomes if not isinstance(each, Reason)]

    def of_earlier_version(self, record: InputRecord) -> list[tuple[str, Decision]]:
        """Return the result that an earlier version gave, if it differs."""
        before = _as_before_0_2(record)
        expected = self.of(before) if before != record else Reason.NULL_VALUE
        return [] if isinstance(expected, Reason) else [expected]

    def _under(self, record: InputRecord, input_format: InputFormat, text_bytes_max: int) -> Expected:
        try:
            blob = decode_blob(record, input_format, text_bytes_max)
        except Rejected as why:
            return why.reason
        decision = self._memo.get(blob.text)
        if decision is None:
            decision = self._decide(blob.text)
            if len(blob.text) <= MEMO_TEXT_CHARS_MAX:
                if len(self._memo) >= MEMO_TEXTS_MAX:
                    self._memo.clear()
                self._memo[blob.text] = decision
        return blob.blob_id, decision


def _as_before_0_2(record: InputRecord) -> InputRecord:
    """Return a record for which this version gives the outcome that 0.1 gave for the original.

    Version 0.1 took schema ids for text, whose zeros are dropped, and ignored CloudEvent ids in headers.
    """
    value = record.value if record.value is None else record.value.lstrip(b"\0")
    return record._replace(value=value, headers=without_event_id(record.headers))
