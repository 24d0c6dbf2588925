"""The audit: committed input, results, dead letters, totals and stores, held against each other."""

import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
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
from stream.kafka.reader import StoredRecord, read_topic
from stream.store.rocks import StoreIdentity
from stream.tools.audit.dead_letters import LetterIndex
from stream.tools.audit.join import PartitionJoin
from stream.tools.audit.judge import Judge
from stream.tools.audit.outcomes import Bounds, Result, StoreCopy, read_result
from stream.tools.audit.snapshot import AuditSnapshot, make_cut
from stream.tools.audit.stores import Copied, read_stores
from stream.tools.audit.verdict import DIFFERENCES_MAX, Verdict

TELL_EVERY = 5_000  # input records


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a round has come, in offsets of the input."""

    done: int
    total: int


def ignore(_: Progress) -> None:
    """Tell nobody."""


@dataclass(slots=True)
class _Partition:
    """What is kept of a partition from round to round.

    Attributes:
        totals: last total of each signature, as the count topic says.
        begins: of each transaction in the count topic, its first offset; ends: the same, its last.
    """

    join: PartitionJoin
    input: int
    results: int
    counts: int
    totals: dict[bytes, bytes] = field(default_factory=dict)
    processed_offset: ProcessedOffset | None = None
    begins: "array[int]" = field(default_factory=lambda: array("q"))
    ends: "array[int]" = field(default_factory=lambda: array("q"))
    begin: int | None = None

    def total(self, record: StoredRecord) -> None:
        """Take a record of the count topic."""
        self.totals[record.key or b""] = record.value or b""
        self.begin = record.offset if self.begin is None else self.begin
        with suppress(ValueError):  # a foreign record: its total shows
            found = read_processed_offset(record.headers)
            if found is not None:
                self.processed_offset = found
                self.begins.append(self.begin)
                self.ends.append(record.offset)
                self.begin = None

    def is_midway(self, position: int) -> bool:
        """Whether a changelog position lies within a transaction: restore was interrupted there."""
        number = bisect_left(self.ends, position)
        return number < len(self.ends) and self.begins[number] < position


@dataclass(frozen=True, slots=True)
class _Passed:
    """Tells how far a partition has come: its offsets, after those `before`."""

    tell: Callable[[Progress], None]
    before: int
    total: int


def verify(
    settings: Settings,
    index: AnagramIndex,
    *,
    state_dirs: Sequence[Path] = (),
    tell: Callable[[Progress], None] = ignore,
    differences_max: int = DIFFERENCES_MAX,
) -> Verdict:
    """Look at everything that is committed, once.

    Raises:
        Refused: a topic is missing or cut in a way that leaves nothing to say, or the totals were counted
            with another dictionary.
        Fatal: a transaction stays open.
    """
    auditor = Auditor(settings, index, differences_max)
    auditor.round(state_dirs, tell)
    return auditor.verdict


class Auditor:
    """An audit that goes on, round by round: what was looked at is not read again.

    Attributes:
        verdict: of all rounds; totals and stores are counted anew in each.
    """

    def __init__(
        self, settings: Settings, index: AnagramIndex, differences_max: int = DIFFERENCES_MAX
    ) -> None:
        self._settings = settings
        self._index = index
        self._admin: Admin = make_admin(settings)
        self._options = reader_options(settings)
        self._judge = Judge(index, settings.input_format, settings.text_bytes_max)
        self._partitions: dict[int, _Partition] = {}
        self._letters_at: dict[int, int] = {}
        self.verdict = Verdict(differences_max=differences_max)

    def round(self, state_dirs: Sequence[Path] = (), tell: Callable[[Progress], None] = ignore) -> None:
        """Look at what came since the last round."""
        found = topics.check(self._admin, self._settings)
        identity = StoreIdentity(found.cluster_id, found.input.id, found.count.id, self._index.digest)
        self.verdict.unchecked.clear()
        self.verdict.totals = self.verdict.stores = 0
        stores = read_stores(
            state_dirs, identity, self.verdict.unchecked
        )  # before the cut: what they stand for lies below it
        cut = make_cut(self._settings, self._admin)
        self._note_cuts(cut)
        done, total = 0, sum(end - first for first, end in cut.input.values())
        with (
            tempfile.TemporaryDirectory(prefix="anagram-stream-verify-") as folder,
            LetterIndex(Path(folder), self._settings.input_topic, self._settings.group_id) as letters,
        ):
            self._index_letters(letters, cut)
            for partition, (first, end) in cut.input.items():
                copies = stores.get(partition, ()) if first == 0 else ()
                self._advance(partition, cut, letters, copies, _Passed(tell, done - first, total))
                done += end - first
            for _ in range(letters.left()):
                self.verdict.differ("unknown", "a dead letter is of a partition that the input has not")
        tell(Progress(total, total))

    def _advance(
        self,
        partition: int,
        cut: AuditSnapshot,
        letters: LetterIndex,
        stores: Sequence[Copied],
        passed: _Passed,
    ) -> None:
        first, end = cut.input[partition]
        kept = self._partitions.get(partition)
        if kept is None:
            join = PartitionJoin(partition, self._judge, self.verdict)
            kept = self._partitions[partition] = _Partition(
                join, first, cut.results[partition][0], cut.counts[partition][0]
            )
        self._read_totals(partition, kept, cut.counts[partition][1])
        results = self._results(partition, kept.results, cut.results[partition][1])
        outcomes_from = 0
        if cut.results[partition][0] > 0 and (earliest := next(results, None)) is not None:
            outcomes_from, results = earliest.source[1], chain([earliest], results)
        bounds = Bounds(
            first=first,
            committed=cut.committed[partition],
            end=end,
            # Totals of all that is committed lie below the count topic's end, whatever its processed_offset says.
            counted_to=max(
                kept.processed_offset.input_offset if kept.processed_offset else 0, cut.committed[partition]
            ),
            outcomes_from=outcomes_from if cut.results[partition][1] > cut.results[partition][0] else end,
            letters_cut=any(begin > 0 for begin, _ in cut.dead_letters.values()),
        )
        kept.join.advance(
            bounds,
            self._inputs(partition, kept.input, end, passed),
            results,
            letters.take(partition),
            self._whole(kept, stores),
        )
        kept.input, kept.results = end, cut.results[partition][1]
        if first == 0 and cut.results[partition][0] == 0:
            self._compare_totals(partition, kept)

    def _compare_totals(self, partition: int, kept: _Partition) -> None:
        """Compare; a total that changed after the cut may have been compacted away below it."""
        changed: set[bytes] = set()
        if kept.join.differing(kept.totals):
            topic = self._settings.count_topic
            _, end = offset_ranges(self._admin, topic, [partition], stable=True)[partition]
            changed = {record.key or b"" for record in self._read(topic, partition, kept.counts, end)}
        kept.join.compare(self._settings.count_topic, "totals", kept.totals, changed)

    def _whole(self, kept: _Partition, stores: Sequence[Copied]) -> list[StoreCopy]:
        """Leave out stores in which a transaction is half restored: they stand for no input offset."""
        for position, copy in stores:
            if kept.is_midway(position):
                self.verdict.unchecked.append(f"{copy.name}: its restore was interrupted at {position}")
        return [copy for position, copy in stores if not kept.is_midway(position)]

    def _read_totals(self, partition: int, kept: _Partition, end: int) -> None:
        for record in self._read(self._settings.count_topic, partition, kept.counts, end):
            kept.total(record)
        kept.counts = end
        digest = kept.processed_offset.dictionary if kept.processed_offset else self._index.digest
        if digest != self._index.digest:
            raise Refused(
                f"the totals were counted with another dictionary (digest {digest}, "
                f"ours {self._index.digest})",
                "set STREAM_DICTIONARY to the one that the workers use",
            )

    def _inputs(self, partition: int, begin: int, end: int, passed: _Passed) -> Iterator[InputRecord]:
        for number, record in enumerate(self._read(self._settings.input_topic, partition, begin, end)):
            if number % TELL_EVERY == 0:
                passed.tell(Progress(passed.before + record.offset, passed.total))
            yield InputRecord(
                record.topic, partition, record.offset, record.key, record.value, record.headers
            )

    def _results(self, partition: int, begin: int, end: int) -> Iterator[Result]:
        for record in self._read(self._settings.result_topic, partition, begin, end):
            result = read_result(record.offset, record.key, record.value, self._settings.input_topic)
            if result is None:
                self.verdict.differ(
                    "unknown",
                    f"the record at {record.offset} of {record.topic}, partition {partition}, is no result",
                )
            else:
                yield result

    def _index_letters(self, letters: LetterIndex, cut: AuditSnapshot) -> None:
        topic = self._settings.dead_letter_topic
        for partition, (first, end) in cut.dead_letters.items():
            begin = self._letters_at.get(partition, first)
            nameless = letters.add(self._read(topic, partition, begin, end))
            self._letters_at[partition] = end
            if nameless:
                self.verdict.unchecked.append(f"{nameless} records of {topic} do not say what they are of")

    def _read(self, topic: str, partition: int, begin: int, end: int) -> Iterator[StoredRecord]:
        if begin < end:
            yield from read_topic(
                self._options, self._admin, topic, start={partition: begin}, ends={partition: end}
            )

    def _note_cuts(self, cut: AuditSnapshot) -> None:
        settings, say = self._settings, self.verdict.unchecked.append
        for partition, (first, _) in cut.input.items():
            if first > 0:
                say(
                    f"{settings.input_topic}, partition {partition}, begins at {first} (retention): "
                    "outcomes of what was before, and the totals of this partition, cannot be checked"
                )
        for topic, ranges in (
            (settings.result_topic, cut.results),
            (settings.dead_letter_topic, cut.dead_letters),
        ):
            for partition, (first, _) in ranges.items():
                if first > 0:
                    say(
                        f"{topic}, partition {partition}, begins at {first} (retention): which outcomes "
                        "there were before, and totals that rest on them, cannot be checked"
                    )
