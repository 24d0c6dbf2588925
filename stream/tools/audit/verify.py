"""The audit: compares the committed input with results, dead letters, totals and stores."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from stream.config import Settings
from stream.core.dictionary import AnagramIndex
from stream.core.records import InputRecord
from stream.core.skipped import SkippedRange
from stream.errors import Refused, StreamError
from stream.kafka import topics
from stream.kafka.clients import Admin, make_admin, reader_options
from stream.kafka.offsets import offset_ranges
from stream.store.identity import StoreIdentity
from stream.tools.audit.dead_letters import DeadLetterIndex
from stream.tools.audit.expected import ExpectedOutcomes
from stream.tools.audit.join import PartitionJoin
from stream.tools.audit.offsets import offset_differences, truncated_logs
from stream.tools.audit.outcomes import OFFSET_MAX, Bounds, Result, StoreCopy, read_result
from stream.tools.audit.partition_state import PartitionState
from stream.tools.audit.snapshot import AuditSnapshot, take_snapshot
from stream.tools.audit.stores import read_stores
from stream.tools.audit.verdict import DIFFERENCES_MAX, Verdict
from stream.tools.kafka.topic_reader import StoredRecord, read_topic

PROGRESS_RECORDS = 5_000  # input records between two progress reports
PENDING_OFFSETS_MAX = 10_000  # per partition; up to here, the records among them are counted


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a round, in offsets of the input."""

    done: int
    total: int


OnProgress = Callable[[Progress], None]


def ignore(_: Progress) -> None:
    """Report no progress."""


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
    """An audit in rounds: each reads only what was committed since the previous one.

    Attributes:
        verdict: covers all rounds; differences in totals and stores are those of the last round.
    """

    def __init__(
        self, settings: Settings, index: AnagramIndex, differences_max: int = DIFFERENCES_MAX
    ) -> None:
        self._settings = settings
        self._index = index
        self._admin: Admin = make_admin(settings)
        self._options = reader_options(settings)
        self._expected = ExpectedOutcomes(index, settings.input_format, settings.text_bytes_max)
        self._differences_max = differences_max
        self._start_over()

    def _start_over(self) -> None:
        self._partitions: dict[int, PartitionState] = {}
        self._dead_letter_positions: dict[int, int] = {}
        self._skipped: list[SkippedRange] = []
        self.verdict = Verdict(differences_max=self._differences_max)

    def run_round(self, state_dirs: Sequence[Path] = (), on_progress: OnProgress = ignore) -> None:
        """Audit what was committed since the last round; raises as `verify` does."""
        checked = topics.check(self._admin, self._settings)
        identity = StoreIdentity(checked.cluster_id, checked.input.id, checked.count.id, self._index.digest)
        self.verdict.start_round()
        # Stores are read before the snapshot is taken, so that all input which they cover is below its ends.
        stores = read_stores(state_dirs, identity, self.verdict)
        snapshot = take_snapshot(self._settings, self._admin)
        self.verdict.unchecked += truncated_logs(self._settings, snapshot)
        try:
            self._compare(snapshot, checked.input.id, stores if state_dirs else None, on_progress)
        except StreamError:
            self._start_over()  # some partitions were read and others not: the next round reads all again
            raise

    def _compare(
        self,
        snapshot: AuditSnapshot,
        input_id: str,
        stores: Mapping[int, Sequence[StoreCopy]] | None,
        on_progress: OnProgress,
    ) -> None:
        ranges = snapshot.input
        done, total = 0, sum(end - first for first, end in ranges.values())
        with (
            tempfile.TemporaryDirectory(prefix="anagram-stream-verify-") as folder,
            DeadLetterIndex(
                Path(folder), self._settings.input_topic, self._settings.group_id
            ) as dead_letters,
        ):
            self._index_dead_letters(dead_letters, snapshot)
            for partition, (first, end) in ranges.items():
                copies = (stores or {}).get(partition, ())
                report = self.verdict.partition(partition)
                report.committed, report.totals = snapshot.committed[partition], None
                report.stores_found, report.stores_compared = None if stores is None else len(copies), 0
                on_offset = partial(_report, on_progress, done - first, total)
                self._advance(partition, snapshot, dead_letters, copies, on_offset)
                processed = self._partitions[partition].processed_offset
                for sentence in offset_differences(snapshot, partition, processed, input_id):
                    self.verdict.add_difference("totals", sentence)
                done += end - first
            self.verdict.add_difference(
                "unknown",
                "a dead letter names a partition that the input does not have",
                dead_letters.remaining(),
            )
        self._count_pending(snapshot)
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
        committed = snapshot.committed[number] or 0
        partition = self._partitions.get(number)
        if partition is None:
            join = PartitionJoin(number, self._expected, self.verdict)
            partition = self._partitions[number] = PartitionState(join, count_position=first_count)
        self._read_totals(number, partition, counts_end)
        input_start = max(first, partition.input_position)
        results_start = max(first_result, partition.result_position)
        results = self._results(number, results_start, results_end)
        if input_start > partition.input_position or results_start > partition.result_position:
            partition.is_whole = False
        if results_start > partition.result_position:  # retention deleted results that were not read
            earliest = next(results, None)
            partition.outcomes_from = end if earliest is None else earliest.source[1]
            results = chain([] if earliest is None else [earliest], results)
        processed = partition.processed_offset
        bounds = Bounds(
            first=first,
            committed=committed,
            end=end,
            # The totals of all committed input are below the count topic's end, whatever its headers state.
            counted_to=max(processed.input_offset if processed else 0, committed),
            outcomes_from=partition.outcomes_from,
            dead_letters_truncated=any(start > 0 for start, _ in snapshot.dead_letters.values()),
            # An earlier version wrote no changelog record for input that changed no total.
            not_counted_from=processed.input_offset if processed and processed.input_topic else OFFSET_MAX,
            skipped=[each for each in self._skipped if each.partition == number],
        )
        partition.join.advance(
            bounds,
            self._inputs(number, input_start, end, on_offset),
            results,
            dead_letters.take(number),
            self._restored(partition, stores) if partition.is_whole else (),
        )
        partition.input_position = max(partition.input_position, end)
        partition.result_position = results_end
        if partition.is_whole:
            self._compare_totals(number, partition)

    def _count_pending(self, snapshot: AuditSnapshot) -> None:
        """Add the input that the group has not reached to the pending records."""
        starts, ends = dict[int, int](), dict[int, int]()
        for partition, (_, start) in snapshot.input.items():
            _, end = snapshot.log[partition]
            if end - start > PENDING_OFFSETS_MAX:
                self.verdict.partition(partition).pending += end - start
            elif start < end:
                starts[partition], ends[partition] = start, end
        topic = self._settings.input_topic
        if starts:
            for record in read_topic(self._options, self._admin, topic, start=starts, ends=ends):
                self.verdict.partition(record.partition).pending += 1

    def _compare_totals(self, number: int, partition: PartitionState) -> None:
        """Compare all but totals that changed after the snapshot: compaction may have deleted older ones."""
        changed: set[bytes] = set()
        if partition.join.differing(partition.totals):
            topic = self._settings.count_topic
            _, end = offset_ranges(self._admin, topic, [number], stable=True)[number]
            changed = {
                record.key or b"" for record in self._read(topic, number, partition.count_position, end)
            }
        partition.join.compare(self._settings.count_topic, "totals", partition.totals, changed)
        self.verdict.partition(number).totals = len(partition.totals)

    def _restored(self, partition: PartitionState, stores: Sequence[StoreCopy]) -> list[StoreCopy]:
        """Return the stores that match an input offset: they contain no partially restored transaction."""
        restored = []
        for store in stores:
            # The second rule is for stores of earlier versions; compaction can hide it.
            if store.is_restoring or partition.is_within_transaction(store.changelog_offset):
                self.verdict.unchecked.append(
                    f"{store.name}: its restore was interrupted at changelog offset {store.changelog_offset}"
                )
            else:
                restored.append(store)
        return restored

    def _read_totals(self, number: int, partition: PartitionState, end: int) -> None:
        for record in self._read(self._settings.count_topic, number, partition.count_position, end):
            partition.add_total(record)
        partition.count_position = end
        digest = partition.processed_offset.digest if partition.processed_offset else self._index.digest
        if digest != self._index.digest:
            raise Refused(
                f"the totals were counted with another dictionary (digest {digest}, not "
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
                    f"records of {topic} that do not name their input record: {without_source}"
                )
        self._skipped += dead_letters.skipped

    def _read(self, topic: str, partition: int, start: int, end: int) -> Iterator[StoredRecord]:
        if start < end:
            yield from read_topic(
                self._options, self._admin, topic, start={partition: start}, ends={partition: end}
            )


def _report(on_progress: OnProgress, shift: int, total: int, offset: int) -> None:
    on_progress(Progress(shift + offset, total))
