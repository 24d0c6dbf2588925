"""The anagram fold: turns blobs into anagram counts and totals per signature. Pure."""

from collections.abc import Iterable
from typing import Literal

from stream.core.bulk import decode_blobs, encode_results
from stream.core.codec import ResultEncoder
from stream.core.columns import InputRecords
from stream.core.counts import check_totals
from stream.core.engine import Engine
from stream.core.fold import Changes, Chunk
from stream.core.totals import SignatureTotals


class AnagramFold:
    """A `Fold` that decodes blobs, counts their words against one dictionary, and encodes results.

    The deltas of a chunk are signature ids, one per word that has a signature, in no particular order.
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

    def process(self, records: InputRecords) -> Chunk:
        """Count the anagrams of the words in each blob; `items` are words."""
        blobs = decode_blobs(records, self._input_format, self._text_bytes_max)
        decoded = records
        if blobs.rejected:
            decoded = records.select(n for n in range(len(records)) if n not in blobs.rejected)
        counted = self._engine.count(blobs.texts)
        results, too_large = encode_results(self._encoder, decoded, blobs.ids, counted.entries, counted.words)
        if not blobs.rejected and not too_large:
            return Chunk(results, {}, sum(counted.words), counted.ids)
        if too_large:  # their words must not be counted
            counted = self._engine.count([text for n, text in enumerate(blobs.texts) if n not in too_large])
        positions = [n for n in range(len(records)) if n not in blobs.rejected]
        rejected = blobs.rejected | {positions[n]: why for n, why in too_large.items()}
        return Chunk(results, dict(sorted(rejected.items())), sum(counted.words), counted.ids)

    def load(self, stored: Iterable[tuple[bytes, bytes]]) -> SignatureTotals:
        """Load the totals from the items of a store."""
        return SignatureTotals(self._engine.signatures, stored)

    def validate(self, changes: Changes) -> None:
        """Check that every total is a positive decimal number."""
        check_totals(changes.values())
