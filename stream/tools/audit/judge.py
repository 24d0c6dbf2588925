"""What the core makes of an input record, computed again by the definition."""

from typing import Literal

from stream.core.codec import decode_blob
from stream.core.decide import Decider, Decision
from stream.core.dictionary import AnagramIndex
from stream.core.records import InputRecord
from stream.errors import Reason, Rejected

TEXTS_KEPT = 4_096
TEXT_KEPT_CHARS = 4_096


class Judge:
    """What the core makes of a record: counts, or the reason why not. Equal texts are counted once."""

    def __init__(
        self, index: AnagramIndex, input_format: Literal["text", "json"], text_bytes_max: int
    ) -> None:
        self._decide = Decider(index).decide
        self._input_format = input_format
        self._text_bytes_max = text_bytes_max
        self._known: dict[str, Decision] = {}

    def of(self, record: InputRecord) -> tuple[str, Decision] | Reason:
        """Return blob id and counts, or why the record is rejected."""
        try:
            blob = decode_blob(record, self._input_format, self._text_bytes_max)
        except Rejected as why:
            return why.reason
        known = self._known.get(blob.text)
        if known is None:
            known = self._decide(blob.text)
            if len(blob.text) <= TEXT_KEPT_CHARS:
                if len(self._known) >= TEXTS_KEPT:
                    self._known.clear()
                self._known[blob.text] = known
        return blob.blob_id, known
