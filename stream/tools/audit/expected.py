"""The outcome that an input record must have, computed again by the definition in `core/decide`."""

from typing import Literal

from stream.core.codec import decode_blob
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

    Equal texts are counted once, as long as the memo holds them.
    """

    def __init__(self, index: AnagramIndex, input_format: InputFormat, text_bytes_max: int) -> None:
        self._decide = Decider(index).decide
        self._input_format: InputFormat = input_format
        self._text_bytes_max = text_bytes_max
        self._memo: dict[str, Decision] = {}

    def of(self, record: InputRecord) -> Expected:
        """Return what these settings give."""
        return self._under(record, self._input_format, self._text_bytes_max)

    def is_explained(self, record: InputRecord, reason: str, limit: int | None) -> bool:
        """Whether other settings explain that the record was rejected for this reason.

        They may have changed since: the format of the input, and the limit of a text, which is that of the
        dead letter; None if it names none.
        """
        if reason not in {*_OF_SETTINGS, Reason.UNDECODABLE}:  # of a text that is now too large, too
            return False
        bytes_max = limit if reason == Reason.TEXT_TOO_LARGE else _NO_LIMIT
        return bytes_max is not None and any(
            self._under(record, each, bytes_max) == reason for each in _FORMATS
        )

    def explanations(self, record: InputRecord, rejected: Reason) -> list[tuple[str, Decision]]:
        """Return which results other settings give for a record that these settings reject."""
        if rejected not in _OF_SETTINGS:
            return []
        outcomes = [self._under(record, each, _NO_LIMIT) for each in _FORMATS]
        return [each for each in outcomes if not isinstance(each, Reason)]

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
