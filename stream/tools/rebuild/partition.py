"""Counts the input of one partition, in its own process, and writes its store."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Literal

import numpy as np

from stream.config import Settings
from stream.core.codec import Blob, decode_blob
from stream.core.counts import decode_total, encode_total
from stream.core.engine import Engine
from stream.core.rebuild import RebuildPlan
from stream.core.records import InputRecord
from stream.core.skipped import SkippedRange
from stream.dictionary import load_lexicon
from stream.errors import Fatal, Rejected
from stream.kafka.clients import make_admin, reader_options
from stream.store.identity import StoreIdentity
from stream.store.rocks import write_copy
from stream.tools.kafka.topic_reader import StoredRecord, read_topic
from stream.worker.memory import keep_memory_small

CHUNK_RECORDS, CHUNK_BYTES = 2_000, 1 << 20
_NO_LIMIT = 2**63 - 1
_FORMATS: tuple[Literal["text", "json"], ...] = ("text", "json")


@dataclass(frozen=True, slots=True)
class Job:
    """The work of one process.

    Attributes:
        base: the totals to start from, as in the count topic.
        counted_to: a worker counted the input before this offset; None if none did.
        rejected: sorted offsets of the input that has a dead letter.
        skipped: input that was skipped deliberately.
        store: folder of the store to write.
    """

    settings: Settings
    partition: int
    plan: RebuildPlan
    base: dict[bytes, bytes]
    counted_to: int | None
    rejected: "array[int]"
    skipped: Sequence[SkippedRange]
    store: Path
    identity: StoreIdentity


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The result of one process."""

    partition: int
    records: int
    words: int
    signatures: int


def rebuild_partition(job: Job, progress: "Queue[tuple[int, int]]") -> Rebuilt:
    """Count the input of a partition and write its store; report partition and offsets read to `progress`.

    Raises:
        Retriable: the broker is unavailable.
        Fatal: a base total is not in the dictionary, or a total would be negative.
    """
    keep_memory_small()
    fold = PartitionFold(job, Engine(load_lexicon(job.settings.dictionary)))
    for chunk in _chunks(_read(job)):
        fold.add(chunk)
        progress.put((job.partition, chunk[-1].offset + 1 - job.plan.first))
    totals = fold.totals()
    write_copy(job.store, job.identity, totals, job.plan.target)
    return Rebuilt(job.partition, fold.records, fold.words, len(totals))


class PartitionFold:
    """Adds or subtracts the words of input records.

    Attributes:
        records: number of counted records.
        words: number of their words.
    """

    def __init__(self, job: Job, engine: Engine) -> None:
        self._job = job
        self._engine = engine
        self._sums = np.zeros(len(engine.signatures), np.int64)
        self.records = self.words = 0

    def add(self, records: Iterable[StoredRecord]) -> None:
        """Add records of the partition."""
        texts = [text for record in records if (text := self._text(record)) is not None]
        counted = self._engine.count(texts)
        self._sums += np.bincount(counted.ids, minlength=len(self._sums)) if len(counted.ids) else 0
        self.records += len(texts)
        self.words += sum(counted.words)

    def totals(self) -> dict[bytes, bytes]:
        """Return the totals by signature.

        Raises:
            Fatal: the base does not belong to this input or dictionary.
        """
        where, base = f"partition {self._job.partition}", self._job.base
        signatures = self._engine.signatures
        if unknown := base.keys() - set(signatures):
            raise Fatal(f"{where}: the count topic has {min(unknown)!r}, which is not in the dictionary")
        totals: dict[bytes, bytes] = {}
        for signature, added in zip(signatures, self._sums.tolist(), strict=True):
            total = self._base(signature) + self._job.plan.sign * added
            if total < 0:
                raise Fatal(
                    f"{where}: the input after the chosen moment has more {signature.decode()} than the "
                    "count topic, so its totals do not belong to this input; run: anagram-stream verify"
                )
            if total:
                totals[signature] = encode_total(total)
        return totals

    def _base(self, signature: bytes) -> int:
        value = self._job.base.get(signature)
        try:
            return 0 if value is None else decode_total(value)
        except ValueError as error:
            raise Fatal(f"partition {self._job.partition} of the count topic: {error}") from error

    def _text(self, stored: StoredRecord) -> bytes | None:
        """Return the text of a record that was or will be counted; None for other records."""
        job, offset = self._job, stored.offset
        index = bisect_left(job.rejected, offset)
        if index < len(job.rejected) and job.rejected[index] == offset:
            return None
        if any(offset in each and offset >= each.counted_to for each in job.skipped):
            return None
        record = InputRecord(stored.topic, stored.partition, offset, stored.key, stored.value, stored.headers)
        settings = job.settings
        blob = _decoded(record, settings.input_format, settings.text_bytes_max)
        if blob is None and job.counted_to is not None and offset < job.counted_to:
            # It has a result although these settings reject it, so it was counted with other settings.
            blobs = (_decoded(record, each, _NO_LIMIT) for each in _FORMATS)
            blob = next((each for each in blobs if each is not None), None)
        return None if blob is None else blob.utf8


def _decoded(record: InputRecord, input_format: Literal["text", "json"], bytes_max: int) -> Blob | None:
    try:
        return decode_blob(record, input_format, bytes_max)
    except Rejected:
        return None


def _read(job: Job) -> Iterator[StoredRecord]:
    if not job.plan.offsets:
        return
    partition, topic = job.partition, job.settings.input_topic
    start, ends = {partition: job.plan.first}, {partition: job.plan.end}
    yield from read_topic(
        reader_options(job.settings), make_admin(job.settings), topic, start=start, ends=ends
    )


def _chunks(records: Iterable[StoredRecord]) -> Iterator[list[StoredRecord]]:
    chunk, size = list[StoredRecord](), 0
    for record in records:
        chunk.append(record)
        size += len(record.value or b"")
        if len(chunk) >= CHUNK_RECORDS or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
