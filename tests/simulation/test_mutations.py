"""Breaks each rule of the commit protocol on purpose; the simulation detects each break with both folds.

A mutation may pass many seeds; it must not pass all of `SEEDS`. The storms have many paused workers and late
markers, because some mutations do no harm without them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import pytest
from simulation.bytes_fold import BytesWorkload

import stream.core.resume
import stream.testing.sink
import stream.worker.assignment
import stream.worker.loop
from stream.core.columns import Outputs
from stream.core.evidence import Appended, CommittedOffset, LogEnd, LogEnds, read_evidence
from stream.core.fold import Changes
from stream.core.processed_offset import PROCESSED_KEY, ProcessedOffset
from stream.core.records import Header, InputRecord
from stream.errors import Abortable, InDoubt, Retriable
from stream.ports import Batch, ChangelogChunk, Checkpoint
from stream.testing.faults import FaultClass
from stream.testing.log import PartitionLog
from stream.testing.reader import FakeReader
from stream.testing.sink import FakeSink
from stream.testing.source import FakeSource
from stream.testing.transactions import Coordinator
from stream.tools.simulation.accidents import Accident
from stream.tools.simulation.anagram_workload import AnagramWorkload
from stream.tools.simulation.simulation import Scale, Simulation
from stream.tools.simulation.workload import MakeWorkload
from stream.worker.assignment import Assignment, Partition, PartitionState, StateUpdates
from stream.worker.processing import Processor
from stream.worker.restore import Restorer
from stream.worker.restore_phases import Opening, Reading
from stream.worker.transaction import transact

SEEDS = range(600)
PAUSED_OFTEN = Scale(
    fault_rate=0.03,
    weights={
        FaultClass.ERROR: 1,
        FaultClass.CRASH: 1,
        FaultClass.PAUSE: 3,
        FaultClass.SWITCH: 1,
        FaultClass.REBALANCE: 0.3,
        FaultClass.LATE: 2,
    },
    marker_delayed=0.8,
)
Mutation = Callable[[pytest.MonkeyPatch], None]
AccidentMutation = tuple[Mutation, Accident]


def store_is_written_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    state_updates = Processor.state_updates

    def write_first(self: Processor) -> StateUpdates:
        updates = state_updates(self)
        for partition, changed in updates.changed.items():
            store = self._assignment[partition].open_store
            position = store.checkpoint.changelog_offset if store.checkpoint else 0
            store.write(changed.changes, Checkpoint(position, updates.offsets[partition]))
        return updates

    patch.setattr(Processor, "state_updates", write_first)


def input_is_not_rewound_after_an_abort(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FakeSource, "rewind", lambda _self, _offsets: None)


def restore_ends_at_the_last_stable_offset(patch: pytest.MonkeyPatch) -> None:
    def offset_range(self: FakeReader, partition: int) -> tuple[int, int]:
        log = self._cluster.log(self._topic, partition)
        return log.first_offset, log.last_stable_offset

    patch.setattr(FakeReader, "offset_range", offset_range)


def restore_position_ignores_markers(patch: pytest.MonkeyPatch) -> None:
    read = FakeReader.read

    def read_records(self: FakeReader, wait_s: float) -> Sequence[ChangelogChunk]:
        return [
            replace(chunk, position=after_last_record(self, chunk))
            for chunk in read(self, wait_s)
            if chunk.records
        ]

    def after_last_record(self: FakeReader, chunk: ChangelogChunk) -> int:
        log = self._cluster.log(self._topic, chunk.partition)
        return max(entry.offset for entry in log if entry.record and entry.offset < chunk.position) + 1

    patch.setattr(FakeReader, "read", read_records)


def committed_offsets_are_not_stable(patch: pytest.MonkeyPatch) -> None:
    def committed(self: FakeSource, partitions: Sequence[int]) -> Mapping[int, CommittedOffset | None]:
        return self._group.unstable(partitions)

    patch.setattr(FakeSource, "committed", committed)


def fence_is_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Coordinator, "is_fenced", lambda *_: False)


def offsets_are_sent_without_group_metadata(patch: pytest.MonkeyPatch) -> None:
    send_offsets = FakeSink.send_offsets

    def send_alone(self: FakeSink, offsets: Mapping[int, CommittedOffset], group_metadata: object) -> None:
        del group_metadata
        send_offsets(self, offsets, None)

    patch.setattr(FakeSink, "send_offsets", send_alone)


def doubt_is_treated_as_an_abort(patch: pytest.MonkeyPatch) -> None:
    """The producer is replaced, but committed offsets and the tail of the changelog are not read again."""

    def certain(
        batch: Batch,
        processor: Processor,
        sink: FakeSink,
        assignment: Assignment,
    ) -> StateUpdates:
        try:
            return transact(batch, processor, sink, assignment)
        except InDoubt as doubt:
            while not sink.is_ready:
                try:
                    sink.reset_producer()
                except Retriable:
                    sink._cluster.clock.sleep(0.5)
            raise Abortable(str(doubt)) from doubt

    patch.setattr(stream.worker.loop, "transact", certain)


def committed_offsets_are_read_after_the_changelog(patch: pytest.MonkeyPatch) -> None:
    finish = Restorer._finish

    def late(self: Restorer, partition: Partition, reading: Reading) -> None:
        committed = self._source.committed([partition.number])[partition.number]
        reading.opening = Opening(committed, reading.opening.started_at)
        finish(self, partition, reading)

    patch.setattr(Restorer, "_finish", late)


def restore_checkpoints_unwritten_totals(patch: pytest.MonkeyPatch) -> None:
    apply = Restorer._apply

    def ahead(self: Restorer, reading: Reading, chunk: ChangelogChunk) -> None:
        apply(self, reading, chunk)
        if reading.unwritten:
            reading.store.write(
                {},
                Checkpoint(reading.position, reading.processed.input_offset if reading.processed else None),
            )

    patch.setattr(Restorer, "_apply", ahead)


def checkpoint_is_beyond_the_changelog_record(patch: pytest.MonkeyPatch) -> None:
    apply = Assignment.apply

    def ahead(self: Assignment, updates: StateUpdates, ends: Mapping[int, LogEnds]) -> None:
        later = {
            number: {**by_role, "count": LogEnd(number, by_role["count"].offset + 2)}
            for number, by_role in ends.items()
        }
        apply(self, updates, later)

    patch.setattr(Assignment, "apply", ahead)


def offsets_are_committed_outside_the_transaction(patch: pytest.MonkeyPatch) -> None:
    def commit_at_once(
        self: FakeSink, offsets: Mapping[int, CommittedOffset], group_metadata: object
    ) -> None:
        del group_metadata
        self._cluster.group(self._names.group, self._names.input).commit(offsets)

    patch.setattr(FakeSink, "send_offsets", commit_at_once)


def producer_is_kept_in_doubt(patch: pytest.MonkeyPatch) -> None:
    """The same producer continues, so its late requests are accepted."""
    reset_producer, guarded = FakeSink.reset_producer, FakeSink._guarded

    def keep(self: FakeSink, call: Callable[[], object]) -> object:
        producer = self._producer
        try:
            return guarded(self, call)
        except InDoubt:
            self._producer = producer
            raise

    def reset_once(self: FakeSink) -> None:
        if self._producer is None:
            reset_producer(self)
        else:
            self._producer.began_at = None

    patch.setattr(FakeSink, "_guarded", keep)
    patch.setattr(FakeSink, "reset_producer", reset_once)


def rejected_record_has_no_dead_letter(patch: pytest.MonkeyPatch) -> None:
    produce = FakeSink.produce

    def without_dead_letters(self: FakeSink, outputs: Outputs) -> None:
        produce(self, outputs._replace(dead_letters=()))

    patch.setattr(FakeSink, "produce", without_dead_letters)


def records_of_a_revoked_partition_are_delivered(patch: pytest.MonkeyPatch) -> None:
    poll_batch, take = FakeSource.poll_batch, FakeSource._take

    def keep(self: FakeSource, wait_s: float) -> Batch:
        taken: list[InputRecord] = []

        def take_and_keep(self: FakeSource) -> list[InputRecord]:
            taken.extend(take(self))
            return list(taken)

        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(FakeSource, "_take", take_and_keep)
            batch = poll_batch(self, wait_s)
        return Batch.of(taken, batch.group_metadata, batch.leader_epochs) if taken else batch

    patch.setattr(FakeSource, "poll_batch", keep)


def revoked_partition_is_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Assignment, "remove", lambda _self, _number: None)


def abort_rewinds_only_one_partition(patch: pytest.MonkeyPatch) -> None:
    rewind = FakeSource.rewind

    def rewind_first(self: FakeSource, offsets: Mapping[int, int]) -> None:
        rewind(self, dict(list(offsets.items())[:1]))

    patch.setattr(FakeSource, "rewind", rewind_first)


def abort_rewinds_past_the_first_record(patch: pytest.MonkeyPatch) -> None:
    start_offsets = Batch.start_offsets

    def second_offsets(self: Batch) -> dict[int, int]:
        return {partition: offset + 1 for partition, offset in start_offsets(self).items()}

    patch.setattr(Batch, "start_offsets", second_offsets)


def deltas_outlive_their_batch(patch: pytest.MonkeyPatch) -> None:
    reset = Processor._reset

    def keep(self: Processor) -> None:
        deltas = getattr(self, "_deltas", {})
        reset(self)
        self._deltas = deltas

    patch.setattr(Processor, "_reset", keep)


def partition_in_doubt_is_not_paused(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FakeSource, "pause", lambda _self, _partition: None)


def unprocessed_records_are_not_rewound_to(patch: pytest.MonkeyPatch) -> None:
    state_updates = Processor.state_updates
    patch.setattr(Processor, "state_updates", lambda self: replace(state_updates(self), unprocessed={}))


def unprocessed_records_are_committed(patch: pytest.MonkeyPatch) -> None:
    process, state_updates = Processor.process, Processor.state_updates
    ends: dict[Processor, dict[int, int]] = {}

    def note_ends(self: Processor, batch: Batch) -> Iterator[Outputs]:
        ends[self] = {record.partition: record.offset + 1 for record in batch}
        return process(self, batch)

    def commit_all(self: Processor) -> StateUpdates:
        updates = state_updates(self)
        rest = {partition: ends[self][partition] for partition in updates.unprocessed}
        return replace(updates, offsets={**updates.offsets, **rest})

    patch.setattr(Processor, "process", note_ends)
    patch.setattr(Processor, "state_updates", commit_all)


def totals_are_applied_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    state_updates = Processor.state_updates

    def apply_early(self: Processor) -> StateUpdates:
        updates = state_updates(self)
        for changed in updates.changed.values():
            changed.apply()
        return updates

    patch.setattr(Processor, "state_updates", apply_early)


def totals_are_kept_in_doubt(patch: pytest.MonkeyPatch) -> None:
    """The store is restored, but the totals that were read from it before stay in memory."""
    move = Partition.move

    def keep(self: Partition, state: PartitionState) -> None:
        totals = self.totals
        move(self, state)
        self.totals = totals

    patch.setattr(Partition, "move", keep)


def without(check: str, accident: Accident) -> AccidentMutation:
    """Leave out one check of the rule for where a partition resumes."""

    def mutate(patch: pytest.MonkeyPatch) -> None:
        checks = [each for each in stream.core.resume._CHECKS if each.__name__ != check]
        assert len(checks) < len(stream.core.resume._CHECKS)
        patch.setattr(stream.core.resume, "_CHECKS", tuple(checks))

    mutate.__name__ = f"without{check}"
    return mutate, accident


def metadata_of_another_offset_is_believed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CommittedOffset, "evidence", property(lambda self: read_evidence(self.metadata)))


def leader_epoch_is_not_committed(patch: pytest.MonkeyPatch) -> None:
    poll_batch = FakeSource.poll_batch
    patch.setattr(
        FakeSource, "poll_batch", lambda self, wait_s: replace(poll_batch(self, wait_s), leader_epochs={})
    )


def ends_of_logs_may_decrease(patch: pytest.MonkeyPatch) -> None:
    def take_all(ends: LogEnds, appended: Mapping[str, Appended]) -> LogEnds:
        new = {role: LogEnd(each.partition, each.end, each.checksum) for role, each in appended.items()}
        return {**ends, **new}

    patch.setattr(stream.worker.assignment, "advance_ends", take_all)


def checksum_of_the_last_record_is_not_compared(patch: pytest.MonkeyPatch) -> None:
    def ends_alone(log: PartitionLog, known: LogEnd) -> bool:
        return log.high_watermark >= known.offset

    patch.setattr(stream.testing.sink, "_holds", ends_alone)


def id_of_the_input_topic_is_not_compared(patch: pytest.MonkeyPatch) -> None:
    """Remove the checks before a commit and at a restart, because either one alone refuses for good."""
    patch.setattr(FakeSink, "_compare_topics", lambda _self: None)
    without("_input_recreated", Accident.INPUT_RECREATED)[0](patch)


def store_is_checkpointed_beyond_its_last_record(patch: pytest.MonkeyPatch) -> None:
    """Only a truncation of the aborted records at the end of a log is accepted, so truncate there."""
    apply, truncate = Reading.apply, PartitionLog.truncate

    def ahead(
        self: Reading, chunk: ChangelogChunk, processed: ProcessedOffset | None, unwritten_max: int
    ) -> None:
        apply(self, replace(chunk, records_end=chunk.position), processed, unwritten_max)

    def truncate_aborted(self: PartitionLog, end: int) -> None:
        committed = self.read(0, self.high_watermark).entries
        truncate(self, max(end, committed[-1].offset + 1 if committed else 0))

    patch.setattr(Reading, "apply", ahead)
    patch.setattr(PartitionLog, "truncate", truncate_aborted)


def dead_letters_are_no_outcomes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(stream.testing.sink, "is_dead_letter_of", lambda *_: False)


def transaction_without_totals_has_no_changelog_record(patch: pytest.MonkeyPatch) -> None:
    produce = FakeSink.produce_changelog

    def totals_only(self: FakeSink, partition: int, changes: Changes, headers: Sequence[Header]) -> None:
        if PROCESSED_KEY not in changes:
            produce(self, partition, changes, headers)

    def apply(self: Assignment, updates: StateUpdates, ends: Mapping[int, LogEnds]) -> None:
        apply_all(
            self, updates, {number: {"count": LogEnd(number, 0), **each} for number, each in ends.items()}
        )

    apply_all = Assignment.apply
    patch.setattr(Assignment, "apply", apply)
    patch.setattr(FakeSink, "produce_changelog", totals_only)


ACCIDENT_MUTATIONS: list[AccidentMutation] = [
    without("_foreign_commit", Accident.OFFSET_MOVED),
    without("_moved_back", Accident.OFFSET_RESTORED),
    without("_no_committed_offset", Accident.OFFSETS_DELETED),
    without("_outcomes_alone", Accident.OFFSETS_AND_COUNTS_LOST),
    without("_outcomes_recreated", Accident.DEAD_LETTERS_RECREATED),
    without("_outcomes_truncated", Accident.RESULTS_TRUNCATED),
    without("_outcomes_truncated", Accident.DEAD_LETTERS_TRUNCATED),
    without("_changelog_truncated", Accident.COUNTS_TRUNCATED),
    (metadata_of_another_offset_is_believed, Accident.OFFSET_COPIED),
    (leader_epoch_is_not_committed, Accident.INPUT_TRUNCATED),
    (ends_of_logs_may_decrease, Accident.RESULTS_TRUNCATED),
    (checksum_of_the_last_record_is_not_compared, Accident.RESULTS_TRUNCATED),
    (id_of_the_input_topic_is_not_compared, Accident.INPUT_RECREATED),
    (store_is_checkpointed_beyond_its_last_record, Accident.COUNTS_TRUNCATED),
    (dead_letters_are_no_outcomes, Accident.OFFSETS_AND_COUNTS_LOST),
    (transaction_without_totals_has_no_changelog_record, Accident.OFFSETS_DELETED),
]
MUTATIONS = [
    records_of_a_revoked_partition_are_delivered,
    revoked_partition_is_kept,
    abort_rewinds_only_one_partition,
    abort_rewinds_past_the_first_record,
    deltas_outlive_their_batch,
    partition_in_doubt_is_not_paused,
    unprocessed_records_are_not_rewound_to,
    unprocessed_records_are_committed,
    totals_are_applied_before_the_commit,
    totals_are_kept_in_doubt,
    offsets_are_committed_outside_the_transaction,
    producer_is_kept_in_doubt,
    rejected_record_has_no_dead_letter,
    store_is_written_before_the_commit,
    input_is_not_rewound_after_an_abort,
    restore_ends_at_the_last_stable_offset,
    restore_position_ignores_markers,
    committed_offsets_are_not_stable,
    committed_offsets_are_read_after_the_changelog,
    fence_is_ignored,
    offsets_are_sent_without_group_metadata,
    doubt_is_treated_as_an_abort,
    restore_checkpoints_unwritten_totals,
    checkpoint_is_beyond_the_changelog_record,
]
WORKLOADS: list[MakeWorkload] = [AnagramWorkload, BytesWorkload]


@pytest.mark.parametrize("make_workload", WORKLOADS, ids=["anagrams", "bytes"])
@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_broken_rule_is_noticed(
    mutate: Mutation, make_workload: MakeWorkload, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    assert any(is_noticed(seed, make_workload) for seed in SEEDS)


@pytest.mark.parametrize(
    ("mutate", "accident"), ACCIDENT_MUTATIONS, ids=[f"{m.__name__}-{a.name}" for m, a in ACCIDENT_MUTATIONS]
)
def test_broken_rule_is_noticed_after_an_accident(
    mutate: Mutation, accident: Accident, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    assert any(
        is_noticed(seed, AnagramWorkload, replace(Scale.drawn(seed), accident=accident)) for seed in SEEDS
    )


def is_noticed(seed: int, make_workload: MakeWorkload, scale: Scale = PAUSED_OFTEN) -> bool:
    try:
        Simulation(seed, scale, make_workload=make_workload).run()
    except (AssertionError, KeyError):  # a Violation, a call that no broker accepts, a partition not owned
        return True
    return False
