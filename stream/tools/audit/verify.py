"""The audit: compares the committed input with results, dead letters, totals and stores."""

import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

from stream.config import Settings
from stream.core.dictionary import AnagramIndex
from stream.core.processed_offset import ProcessedOffset, read_processed_offset
from stream.core.records import InputRecord
from stream.errors import Refused
from stream.kafka import topics
from stream.kafka.clients import Admin, make_admin, reader_options
from stream.kafka.offsets import offset_ranges
from stream.store.rocks import StoreIdentity
from stream.tools.audit.dead_letters import DeadLetterIndex
from stream.tools.audit.expected import ExpectedOutcomes
from stream.tools.audit.join import PartitionJoin
from stream.tools.audit.outcomes import Bounds, Result, StoreCopy, read_result
from stream.tools.audit.snapshot import AuditSnapshot, take_snapshot
from stream.tools.audit.stores import read_stores
from stream.tools.audit.verdict import DIFFERENCES_MAX, Verdict
from stream.tools.kafka.topic_reader import StoredRecord, read_topic

PROGRESS_RECORDS = 5_000  # input records between two progress reports


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a round, in offsets of the input."""

    done: int
    total: int


OnProgress = Callable[[Progress], None]


def ignore(_: Progress) -> None:
    """Report no progress."""


@dataclass(slots=True)
class _Partition:
    """The state of a partition between two rounds.

    Attributes:
        input_position: the next offset to read in the input; the next two likewise for their topics.
        totals: the latest total of each signature in the count topic.
        transaction_starts: the first offset of each transaction in the count topic.
        transaction_ends: the last record's offset of each transaction in the count topic.
        transaction_start: the first offset of a transaction whose last record has not been read yet.
    """

    join: PartitionJoin
    input_position: int
    result_position: int
    count_position: int
    totals: dict[bytes, bytes] = field(default_factory=dict)
    processed_offset: ProcessedOffset | None = None
    transaction_starts: "array[int]" = field(default_factory=lambda: array("q"))
    transaction_ends: "array[int]" = field(default_factory=lambda: array("q"))
    transaction_start: int | None = None

    def add_total(self, record: StoredRecord) -> None:
        """Add a record of the count topic."""
        self.totals[record.key or b""] = record.value or b""
        start = record.offset if self.transaction_start is None else self.transaction_start
        self.transaction_start = start
        with suppress(ValueError):  # a foreign record: its total differs from the fold
            processed_offset = read_processed_offset(record.headers)
            if processed_offset is not None:
                self.processed_offset = processed_offset
                self.transaction_starts.append(start)
                self.transaction_ends.append(record.offset)
                self.transaction_start = None

    def is_within_transaction(self, position: int) -> bool:
        """Whether a changelog position is inside a transaction: a restore was interrupted there."""
        number = bisect_left(self.transaction_ends, position)
        return number < len(self.transaction_ends) and self.transaction_starts[number] < position


def verify(
    settings: Settings,
    index: AnagramIndex,
    *,
    state_dirs: Sequence[Path] = (),
    on_progress: OnProgress = ignore,
    differences_max: int = DIFFERENCES_MAX,
) -> Verdict:
    """Audit everything that is committed, once.

    Raises:
        Refused: a topic is missing, or the totals were counted with another dictionary.
        Fatal: a transaction stays open.
    """
    auditor = Auditor(settings, index, differences_max)
    auditor.run_round(state_dirs, on_progress)
    return auditor.verdict


class Auditor:
    """An audit in rounds: each one reads only what was committed since the last one.

    Attributes:
        verdict: of all rounds; differences in totals and stores are those of the last round.
    """

    def __init__(
        self, settings: Settings, index: AnagramIndex, differences_max: int = DIFFERENCES_MAX
    ) -> None:
        self._settings = settings
        self._index = index
        self._admin: Admin = make_admin(settings)
        self._options = reader_options(settings)
        self._expected = ExpectedOutcomes(index, settings.input_format, settings.text_bytes_max)
        self._partitions: dict[int, _Partition] = {}
        self._dead_letter_positions: dict[int, int] = {}
        self.verdict = Verdict(differences_max=differences_max)

    def run_round(self, state_dirs: Sequence[Path] = (), on_progress: OnProgress = ignore) -> None:
        """Audit what was committed since the last round; raises as `verify` does."""
        checked = topics.check(self._admin, self._settings)
        identity = StoreIdentity(checked.cluster_id, checked.input.id, checked.count.id, self._index.digest)
        self.verdict.unchecked.clear()
        self.verdict.totals = self.verdict.stores = 0
        # Stores are read before the snapshot is taken, so that all input which they cover is below its ends.
        stores = read_stores(state_dirs, identity, self.verdict.unchecked)
        snapshot = take_snapshot(self._settings, self._admin)
        self._note_truncated_logs(snapshot)
        done, total = 0, sum(end - first for first, end in snapshot.input.values())
        with (
            tempfile.TemporaryDirectory(prefix="anagram-stream-verify-") as folder,
            DeadLetterIndex(
                Path(folder), self._settings.input_topic, self._settings.group_id
            ) as dead_letters,
        ):
            self._index_dead_letters(dead_letters, snapshot)
            for partition, (first, end) in snapshot.input.items():
                copies = stores.get(partition, ()) if first == 0 else ()
                on_offset = partial(_report, on_progress, done - first, total)
                self._advance(partition, snapshot, dead_letters, copies, on_offset)
                done += end - first
            for _ in range(dead_letters.remaining()):
                self.verdict.add_difference(
                    "unknown", "a dead letter is of a partition that the input does not have"
                )
        on_progress(Progress(total, total))

    def _advance(
        self,
        number: int,
        snapshot: AuditSnapshot,
        dead_letters: DeadLetterIndex,
        stores: Sequence[StoreCopy],
        on_offset: Callable[[int], None],
    ) -> None:
        first, end = snapshot.input[number]
        first_result, results_end = snapshot.results[number]
        first_count, counts_end = snapshot.counts[number]
        partition = self._partitions.get(number)
        if partition is None:
            join = PartitionJoin(number, self._expected, self.verdict)
            partition = self._partitions[number] = _Partition(join, first, first_result, first_count)
        self._read_totals(number, partition, counts_end)
        results = self._results(number, partition.result_position, results_end)
        outcomes_from = 0
        if first_result > 0 and (earliest := next(results, None)) is not None:
            outcomes_from, results = earliest.source[1], chain([earliest], results)
        processed_to = partition.processed_offset.input_offset if partition.processed_offset else 0
        bounds = Bounds(
            first=first,
            committed=snapshot.committed[number],
            end=end,
            # The totals of all committed input are below the count topic's end, whatever its headers say.
            counted_to=max(processed_to, snapshot.committed[number]),
            outcomes_from=outcomes_from if results_end > first_result else end,
            dead_letters_truncated=any(start > 0 for start, _ in snapshot.dead_letters.values()),
        )
        partition.join.advance(
            bounds,
            self._inputs(number, partition.input_position, end, on_offset),
            results,
            dead_letters.take(number),
            self._restored(partition, stores),
        )
        partition.input_position, partition.result_position = end, results_end
        if first == 0 and first_result == 0:
            self._compare_totals(number, partition)

    def _compare_totals(self, number: int, partition: _Partition) -> None:
        """Compare all but totals that changed after the snapshot: compaction may have deleted older ones."""
        changed: set[bytes] = set()
        if partition.join.differing(partition.totals):
            topic = self._settings.count_topic
            _, end = offset_ranges(self._admin, topic, [number], stable=True)[number]
            changed = {
                record.key or b"" for record in self._read(topic, number, partition.count_position, end)
            }
        partition.join.compare(self._settings.count_topic, "totals", partition.totals, changed)

    def _restored(self, partition: _Partition, stores: Sequence[StoreCopy]) -> list[StoreCopy]:
        """Return the stores that match an input offset: no transaction is half restored in them."""
        restored = []
        for store in stores:
            if partition.is_within_transaction(store.changelog_offset):
                self.verdict.unchecked.append(
                    f"{store.name}: its restore was interrupted at {store.changelog_offset}"
                )
            else:
                restored.append(store)
        return restored

    def _read_totals(self, number: int, partition: _Partition, end: int) -> None:
        for record in self._read(self._settings.count_topic, number, partition.count_position, end):
            partition.add_total(record)
        partition.count_position = end
        digest = partition.processed_offset.digest if partition.processed_offset else self._index.digest
        if digest != self._index.digest:
            raise Refused(
                f"the totals were counted with another dictionary (its digest is {digest}, not "
                f"{self._index.digest})",
                "set STREAM_DICTIONARY to the dictionary that the workers use",
            )

    def _inputs(
        self, partition: int, start: int, end: int, on_offset: Callable[[int], None]
    ) -> Iterator[InputRecord]:
        for number, record in enumerate(self._read(self._settings.input_topic, partition, start, end)):
            if number % PROGRESS_RECORDS == 0:
                on_offset(record.offset)
            yield InputRecord(
                record.topic, partition, record.offset, record.key, record.value, record.headers
            )

    def _results(self, partition: int, start: int, end: int) -> Iterator[Result]:
        for record in self._read(self._settings.result_topic, partition, start, end):
            result = read_result(record.offset, record.key, record.value, self._settings.input_topic)
            if result is None:
                self.verdict.add_difference(
                    "unknown",
                    f"the record at {record.offset} of {record.topic}, partition {partition}, is not a "
                    "result",
                )
            else:
                yield result

    def _index_dead_letters(self, dead_letters: DeadLetterIndex, snapshot: AuditSnapshot) -> None:
        topic = self._settings.dead_letter_topic
        for partition, (first, end) in snapshot.dead_letters.items():
            start = self._dead_letter_positions.get(partition, first)
            without_source = dead_letters.add(self._read(topic, partition, start, end))
            self._dead_letter_positions[partition] = end
            if without_source:
                self.verdict.unchecked.append(
                    f"{without_source} records of {topic} do not name their input record"
                )

    def _read(self, topic: str, partition: int, start: int, end: int) -> Iterator[StoredRecord]:
        if start < end:
            yield from read_topic(
                self._options, self._admin, topic, start={partition: start}, ends={partition: end}
            )

    def _note_truncated_logs(self, snapshot: AuditSnapshot) -> None:
        settings, note = self._settings, self.verdict.unchecked.append
        for partition, (first, _) in snapshot.input.items():
            if first > 0:
                note(
                    f"{settings.input_topic}, partition {partition}, begins at {first} (retention): "
                    "outcomes of earlier input and the totals of this partition cannot be checked"
                )
        for topic, ranges in (
            (settings.result_topic, snapshot.results),
            (settings.dead_letter_topic, snapshot.dead_letters),
        ):
            for partition, (first, _) in ranges.items():
                if first > 0:
                    note(
                        f"{topic}, partition {partition}, begins at {first} (retention): earlier outcomes, "
                        "and totals that include them, cannot be checked"
                    )


def _report(on_progress: OnProgress, shift: int, total: int, offset: int) -> None:
    on_progress(Progress(shift + offset, total))
