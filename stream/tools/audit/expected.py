"""The outcome that an input record must have, computed again by the definition in `core/decide`."""

from typing import Literal

from stream.core.codec import decode_blob
from stream.core.decide import Decider, Decision
from stream.core.dictionary import AnagramIndex
from stream.core.records import InputRecord
from stream.errors import Reason, Rejected

MEMO_TEXTS_MAX = 4_096
MEMO_TEXT_CHARS_MAX = 4_096


class ExpectedOutcomes:
    """Computes the expected outcome of input records: counts, or the reason for a rejection.

    Equal texts are counted once, as long as the memo holds them.
    """

    def __init__(
        self, index: AnagramIndex, input_format: Literal["text", "json"], text_bytes_max: int
    ) -> None:
        self._decide = Decider(index).decide
        self._input_format = input_format
        self._text_bytes_max = text_bytes_max
        self._memo: dict[str, Decision] = {}

    def of(self, record: InputRecord) -> tuple[str, Decision] | Reason:
        """Return blob id and counts, or why the record must be rejected."""
        try:
            blob = decode_blob(record, self._input_format, self._text_bytes_max)
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
