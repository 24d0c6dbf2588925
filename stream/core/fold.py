"""Input records -> their results and what they add: decode, count, encode, many at once. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from stream.core.codec import Blob, ResultEncoder, decode_blob
from stream.core.engine import Engine
from stream.core.lexicon import Ids
from stream.core.records import InputRecord, OutputRecord
from stream.errors import Rejected


@dataclass(frozen=True, slots=True)
class Counts:
    """What came of records.

    Attributes:
        outcomes: of each record, its result, or why it has none.
        words: of the records that have a result.
        ids: a signature's id for each of those words that has one, in no order.
    """

    outcomes: Sequence[OutputRecord | Rejected]
    words: int
    ids: Ids


class BlobCounter:
    """Counts the blobs of input records."""

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

    def count(self, records: Sequence[InputRecord]) -> Counts:
        """Count records; rejecting one has no effect on the others."""
        blobs = [self._decode(record) for record in records]
        counted = self._engine.count([blob.utf8 for blob in blobs if isinstance(blob, Blob)])
        found = iter(zip(counted.counts_json, counted.words, strict=True))
        outcomes = [
            self._encode(record, blob, *next(found)) if isinstance(blob, Blob) else blob
            for record, blob in zip(records, blobs, strict=True)
        ]
        words, ids = sum(counted.words), counted.ids
        if any(map(_lost_its_result, blobs, outcomes)):  # what they would have added is not to be added
            words, ids = self._recount(blobs, outcomes)
        return Counts(outcomes, words, ids)

    def _decode(self, record: InputRecord) -> Blob | Rejected:
        try:
            return decode_blob(record, self._input_format, self._text_bytes_max)
        except Rejected as why:
            return why

    def _encode(
        self, record: InputRecord, blob: Blob, counts_json: bytes, words: int
    ) -> OutputRecord | Rejected:
        try:
            return self._encoder.encode(record, blob.blob_id, counts_json, words)
        except Rejected as why:
            return why

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


def _lost_its_result(blob: Blob | Rejected, outcome: OutputRecord | Rejected) -> bool:
    return isinstance(outcome, Rejected) and isinstance(blob, Blob)
