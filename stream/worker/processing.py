"""Turns a batch into results, dead letters and state updates, chunk by chunk."""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, takewhile

from stream.core.columns import InputRecords, Outputs
from stream.core.dead_letter import DeadLetterFactory
from stream.core.fold import Chunk, Deltas, Fold
from stream.core.records import InputRecord, OutputRecord
from stream.errors import Rejected, TooManyRejections
from stream.ports import Batch, Clock
from stream.worker.assignment import Assignment, StateUpdates

# Limits of a chunk: results are several times as large as texts, and stay in memory until they are sent.
CHUNK_RECORDS, CHUNK_BYTES = 2000, 1 << 19


@dataclass(frozen=True, slots=True)
class ProcessingLimits:
    """Limits of one batch.

    Attributes:
        rejected_in_a_row_max: dead letters in a row on one partition; 0 means no limit.
        processing_s_max: seconds that a batch is processed within its transaction. Later records stay
            unprocessed, so that a slow machine commits before the transaction times out.
        chunk_records: number of records processed at a time.
    """

    rejected_in_a_row_max: int
    processing_s_max: float
    chunk_records: int = CHUNK_RECORDS


class Processor:
    """Processes batches with a fold. The partitions take turns chunk by chunk, so that none starves."""

    def __init__(
        self,
        fold: Fold,
        to_dead_letter: DeadLetterFactory,
        assignment: Assignment,
        clock: Clock,
        limits: ProcessingLimits,
    ) -> None:
        self._fold = fold
        self._to_dead_letter = to_dead_letter
        self._assignment = assignment
        self._clock = clock
        self._limits = limits
        self._reset()

    @property
    def digest(self) -> str:
        """The digest of the fold."""
        return self._fold.digest

    def process(self, batch: Batch) -> Iterator[Outputs]:
        """Return the results and dead letters in chunks, processed lazily; empties the batch.

        Raises:
            Fatal: a store cannot be read, or contains totals that no worker writes.
            TooManyRejections: raised while the chunks are iterated over.
        """
        self._reset()
        queues = deque(batch.records.values())
        for number in batch.records:
            self._assignment[number].load_totals(self._fold)
            self._rejected_in_a_row[number] = self._assignment[number].rejected_in_a_row
            self._first_rejected[number] = self._assignment[number].first_rejected
        batch.records = {}  # a processed record is freed at once, so that a batch is not in memory twice
        return self._chunks(queues)

    def state_updates(self) -> StateUpdates:
        """Return the changes of the state by this batch; called after the last chunk."""
        changed = {}
        for number in self._next_offsets:
            partition = self._assignment[number]
            totals = partition.load_totals(self._fold).compute_changes(self._deltas.pop(number))
            if totals.changes:
                changed[number] = totals
        return StateUpdates(
            offsets=self._next_offsets,
            changed=changed,
            rejected_in_a_row=self._rejected_in_a_row,
            first_rejected=self._first_rejected,
            unprocessed=self._unprocessed,
            records=self._records,
            items=self._items,
            rejected=self._rejected,
            processing_s=self._processing_s,
        )

    def _reset(self) -> None:
        self._next_offsets: dict[int, int] = {}
        self._deltas: dict[int, list[Deltas]] = {}
        self._rejected_in_a_row: dict[int, int] = {}
        self._first_rejected: dict[int, int] = {}
        self._unprocessed: dict[int, int] = {}
        self._records, self._items, self._processing_s = 0, 0, 0.0
        self._rejected: Counter[str] = Counter()

    def _chunks(self, queues: deque[InputRecords]) -> Iterator[Outputs]:
        deadline = self._clock.monotonic() + self._limits.processing_s_max
        while queues:
            queue = queues.popleft()
            started_at = self._clock.monotonic()
            produced = self._process_chunk(queue.take(self._chunk_size(queue)))
            self._processing_s += self._clock.monotonic() - started_at
            if queue:
                queues.append(queue)
            yield produced
            if self._clock.monotonic() >= deadline:
                self._unprocessed = {queue.partition: queue.offsets[0] for queue in queues}
                return

    def _chunk_size(self, records: InputRecords) -> int:
        """Return the number of records of the next chunk, at least one."""
        values = records.values[: self._limits.chunk_records]
        if sum(map(len, filter(None, values))) < CHUNK_BYTES:  # nearly always
            return len(values)
        sizes = accumulate(len(value or b"") for value in values)
        return min(len(values), 1 + sum(1 for _ in takewhile(CHUNK_BYTES.__gt__, sizes)))

    def _process_chunk(self, records: InputRecords) -> Outputs:
        partition, chunk = records.partition, self._fold.process(records)
        self._next_offsets[partition] = records.offsets[-1] + 1
        self._deltas.setdefault(partition, []).append(chunk.deltas)
        self._records += len(records)
        self._items += chunk.items
        return Outputs(chunk.results, self._dead_letters(records, chunk))

    def _dead_letters(self, records: InputRecords, chunk: Chunk) -> list[OutputRecord]:
        """Make the dead letters of a chunk, and count rejections in a row."""
        partition, dead_letters, expected = records.partition, list[OutputRecord](), 0
        for position, rejected in chunk.rejected.items():
            if position > expected:  # results in between
                self._rejected_in_a_row[partition] = 0
            expected = position + 1
            self._rejected_in_a_row[partition] += 1
            record = records[position]
            if self._rejected_in_a_row[partition] == 1:
                self._first_rejected[partition] = record.offset
            self._check_limit(self._rejected_in_a_row[partition], record, rejected)
            dead_letters.append(self._reject(record, rejected))
        if expected < len(records):
            self._rejected_in_a_row[partition] = 0
        return dead_letters

    def _reject(self, record: InputRecord, rejected: Rejected) -> OutputRecord:
        """Make a dead letter; discard the traceback of the rejection, whose frames hold the record."""
        self._rejected[rejected.reason.value] += 1
        dead_letter = self._to_dead_letter(record, rejected)
        rejected.__traceback__ = rejected.__cause__ = rejected.__context__ = None
        return dead_letter

    def _check_limit(self, in_a_row: int, record: InputRecord, rejected: Rejected) -> None:
        limit = self._limits.rejected_in_a_row_max
        if limit and in_a_row > limit:
            raise TooManyRejections(
                f"{in_a_row} records in a row were rejected, more than STREAM_REJECTED_IN_A_ROW_MAX={limit} "
                f"allows; this batch is not committed. The first one is {record.topic}, "
                f"partition {record.partition}, offset {self._first_rejected[record.partition]}; the last "
                f"one is offset {record.offset}: {rejected}",
                "fix the cause of the rejections; if the records themselves are bad, raise "
                "STREAM_REJECTED_IN_A_ROW_MAX (0: no limit) and start the worker again",
            )
