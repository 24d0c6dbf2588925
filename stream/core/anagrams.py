"""The fold of this product: blobs -> anagram counts and totals per signature. Pure."""

from collections.abc import Iterable, Sequence
from typing import Literal

from stream.core.codec import Blob, ResultEncoder, decode_blob
from stream.core.counts import check_totals
from stream.core.engine import Engine
from stream.core.fold import Changes, Chunk
from stream.core.lexicon import Ids
from stream.core.records import InputRecord, OutputRecord
from stream.core.totals import SignatureTotals
from stream.errors import Rejected


class AnagramFold:
    """A `Fold`: decodes blobs, counts their words by one dictionary, encodes results.

    The deltas of a chunk are the ids of the signatures of its words, one per word, in no order.
    """

    def __init__(
        self,
        engine: Engine,
        encoder: ResultEncoder,
        input_format: Literal["text", "json"],
        text_bytes_max: int,
    ) -> None:
        self._engine = engine
        self._encoder = encoder
        self._input_format = input_format
        self._text_bytes_max = text_bytes_max

    @property
    def digest(self) -> str:
        """The digest of the dictionary."""
        return self._engine.digest

    def process(self, records: Sequence[InputRecord]) -> Chunk:
        """Count the anagrams of the words of each blob; `items` are words."""
        blobs = [self._decode(record) for record in records]
        counted = self._engine.count([blob.utf8 for blob in blobs if isinstance(blob, Blob)])
        counts = iter(zip(counted.counts_json, counted.words, strict=True))
        outcomes = [
            self._encode(record, blob, *next(counts)) if isinstance(blob, Blob) else blob
            for record, blob in zip(records, blobs, strict=True)
        ]
        words, ids = sum(counted.words), counted.ids
        if any(map(_has_no_result, blobs, outcomes)):  # the words of such a blob must not be added
            words, ids = self._recount(blobs, outcomes)
        return Chunk(outcomes, words, ids)

    def load(self, stored: Iterable[tuple[bytes, bytes]]) -> SignatureTotals:
        """Return the totals that a store holds."""
        return SignatureTotals(self._engine.signatures, stored)

    def validate(self, changes: Changes) -> None:
        """Check that every total is a positive decimal number."""
        check_totals(changes.values())

    def _decode(self, record: InputRecord) -> Blob | Rejected:
        try:
            return decode_blob(record, self._input_format, self._text_bytes_max)
        except Rejected as rejected:
            return rejected

    def _encode(
        self, record: InputRecord, blob: Blob, counts_json: bytes, words: int
    ) -> OutputRecord | Rejected:
        try:
            return self._encoder.encode(record, blob.blob_id, counts_json, words)
        except Rejected as rejected:
            return rejected

    def _recount(
        self, blobs: Iterable[Blob | Rejected], outcomes: Iterable[OutputRecord | Rejected]
    ) -> tuple[int, Ids]:
        kept = [
            blob.utf8
            for blob, outcome in zip(blobs, outcomes, strict=True)
            if isinstance(blob, Blob) and isinstance(outcome, OutputRecord)
        ]
        counted = self._engine.count(kept)
        return sum(counted.words), counted.ids


def _has_no_result(blob: Blob | Rejected, outcome: OutputRecord | Rejected) -> bool:
    return isinstance(outcome, Rejected) and isinstance(blob, Blob)
