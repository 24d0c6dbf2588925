"""The simulation can fail: each rule of the commit protocol, broken on purpose, is noticed.

A mutation may pass many seeds; it must not pass all of `SEEDS`. The storm is one of workers that stand
still and of markers that come late, since those are what the rarer mutations need to do harm.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import pytest

import stream.worker.loop
from stream.core.records import OutputRecord, first_offsets
from stream.errors import Abortable, InDoubt
from stream.ports import Batch, ChangelogChunk, Checkpoint, CommittedOffset, Sink, Store
from stream.testing.faults import FaultClass
from stream.testing.reader import FakeReader
from stream.testing.sink import FakeSink
from stream.testing.source import FakeSource
from stream.testing.transactions import Coordinator
from stream.tools.simulation.simulation import Scale, Simulation
from stream.worker.assignment import Partition, PartitionState
from stream.worker.counted import Counted, Sum
from stream.worker.loop import Worker
from stream.worker.processing import Part
from stream.worker.restore import Restorer
from stream.worker.transaction import Staged, Work, transact

SEEDS = range(300)
STOPPED_OFTEN = Scale(
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


def store_is_written_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    def store_first(work: Work, sink: Sink, stores: Mapping[int, Store]) -> Staged:
        def stage() -> Staged:
            staged = work.stage()
            for partition, changes in staged.changes.items():
                before = stores[partition].checkpoint
                at = before.changelog_offset if before else 0
                stores[partition].write(changes, Checkpoint(at, staged.offsets[partition].offset))
            return staged

        return transact(replace(work, stage=stage), sink, stores)

    patch.setattr(stream.worker.loop, "transact", store_first)


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


def offsets_are_sent_without_the_group(patch: pytest.MonkeyPatch) -> None:
    send_offsets = FakeSink.send_offsets

    def send_alone(self: FakeSink, offsets: Mapping[int, CommittedOffset], group: object) -> None:
        del group
        send_offsets(self, offsets, None)

    patch.setattr(FakeSink, "send_offsets", send_alone)


def doubt_is_taken_for_an_abort(patch: pytest.MonkeyPatch) -> None:
    """A new producer, but the committed offsets and the tail of the changelog are not read again."""
    send = Worker._send

    def certain(self: Worker, counted: Counted, meanwhile: Callable[[], Counted]) -> Counted:
        try:
            return send(self, counted, meanwhile)
        except InDoubt as why:
            self._in_doubt = True
            while self._in_doubt:
                self._patiently(self._reset_producer)
            raise Abortable(str(why)) from why

    patch.setattr(Worker, "_send", certain)


def committed_offsets_are_read_after_the_changelog(patch: pytest.MonkeyPatch) -> None:
    finish = Restorer._finish

    def late(self: Restorer, partition: Partition) -> None:
        progress = self._progress.get(partition.number)
        if progress is not None:
            progress.committed = self._source.committed([partition.number])[partition.number]
        finish(self, partition)

    patch.setattr(Restorer, "_finish", late)


def restore_checkpoints_what_it_has_not_written(patch: pytest.MonkeyPatch) -> None:
    apply = Restorer._apply

    def ahead(self: Restorer, partition: Partition, chunk: ChangelogChunk) -> None:
        apply(self, partition, chunk)
        progress = self._progress[partition.number]
        if progress.unwritten and partition.store is not None:
            partition.store.write({}, Checkpoint(progress.position, progress.input_offset))

    patch.setattr(Restorer, "_apply", ahead)


def checkpoint_runs_ahead(patch: pytest.MonkeyPatch) -> None:
    commit = FakeSink.commit

    def ahead(self: FakeSink) -> Mapping[int, int]:
        return {partition: offset + 2 for partition, offset in commit(self).items()}

    patch.setattr(FakeSink, "commit", ahead)


def offsets_are_committed_apart(patch: pytest.MonkeyPatch) -> None:
    def commit_at_once(self: FakeSink, offsets: Mapping[int, CommittedOffset], group: object) -> None:
        del group
        self._cluster.group(self._names.group, self._names.input).commit(offsets)

    patch.setattr(FakeSink, "send_offsets", commit_at_once)


def producer_is_kept_in_doubt(patch: pytest.MonkeyPatch) -> None:
    """The same producer goes on, and what comes late of it is taken for its own."""
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
            self._producer.began = None

    patch.setattr(FakeSink, "_guarded", keep)
    patch.setattr(FakeSink, "reset_producer", reset_once)


def retries_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A record whose stage failed for good is left out instead of being buried."""
    produce = FakeSink.produce

    def without_letters(self: FakeSink, records: Iterable[OutputRecord]) -> None:
        produce(self, [record for record in records if record.topic != self._names.dead_letters])

    patch.setattr(FakeSink, "produce", without_letters)


def what_was_counted_of_a_revoked_partition_is_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Counted, "drop", lambda _self, _partition: None)


def after_an_abort(
    patch: pytest.MonkeyPatch, then: Callable[[Worker, Counted, Batch], Counted | None]
) -> None:
    """Let `then` happen after an abort, in the face of what was counted before it and `batch` beside it."""
    commit = Worker._commit

    def mutated(self: Worker, counted: Counted, batch: Batch) -> Counted | None:
        kept = Batch([*batch.records], batch.group, batch.behind)  # counting empties it
        following = commit(self, counted, batch)
        if following is None and not self._in_doubt and kept.records:
            return then(self, counted, kept)
        return following

    patch.setattr(Worker, "_commit", mutated)


def abort_rewinds_only_what_was_sent(patch: pytest.MonkeyPatch) -> None:
    def skip_batch(self: Worker, counted: Counted, batch: Batch) -> None:
        ends = {record.partition: record.offset + 1 for record in batch.records}
        self._source.rewind({number: end for number, end in ends.items() if number not in counted.first})

    after_an_abort(patch, skip_batch)


def abort_rewinds_only_what_was_counted_meanwhile(patch: pytest.MonkeyPatch) -> None:
    def skip_counted(self: Worker, counted: Counted, batch: Batch) -> None:
        ends = {number: part.next_offset for number, part in counted.processed.parts.items()}
        self._source.rewind(ends | first_offsets(batch.records))

    after_an_abort(patch, skip_counted)


def what_was_counted_meanwhile_outlives_an_abort(patch: pytest.MonkeyPatch) -> None:
    after_an_abort(patch, lambda self, _, batch: self._count_beside(batch))


def unfinished_batch_is_held_back(patch: pytest.MonkeyPatch) -> None:
    """What follows it is gathered before the rest of it comes again."""

    def work(self: Worker, batch: Batch) -> None:
        ahead, self._counted = self._counted, None
        counted = self._count(batch) if ahead is None else self._commit(ahead, batch)
        if counted is not None and counted.first:
            if batch.behind:
                counted.processed.count()
                self._counted = counted
            else:
                self._commit(counted, Batch())

    patch.setattr(Worker, "_work", work)


def what_was_not_counted_in_time_is_not_rewound_to(patch: pytest.MonkeyPatch) -> None:
    def leave(self: Sum) -> None:
        for part in self._parts.values():
            if not part.is_counted:
                part.cut()

    patch.setattr(Sum, "_leave_the_rest", leave)


def what_was_not_counted_in_time_is_committed(patch: pytest.MonkeyPatch) -> None:
    cut = Part.cut

    def commit_all(self: Part) -> int:
        end = self.next_offset
        first = cut(self)
        self.next_offset = end
        return first

    patch.setattr(Part, "cut", commit_all)


def totals_are_taken_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    stage = Sum.stage

    def stage_and_take(self: Sum) -> Staged:
        staged = stage(self)
        self.remember()
        return staged

    patch.setattr(Sum, "stage", stage_and_take)
    patch.setattr(Sum, "remember", lambda _self: None)


def totals_are_kept_in_doubt(patch: pytest.MonkeyPatch) -> None:
    """The store is restored, but what was read of it before stays in memory."""
    move = Partition.move

    def keep(self: Partition, state: PartitionState) -> None:
        totals = self.totals
        move(self, state)
        self.totals = totals

    patch.setattr(Partition, "move", keep)


MUTATIONS = [
    what_was_counted_of_a_revoked_partition_is_kept,
    abort_rewinds_only_what_was_sent,
    abort_rewinds_only_what_was_counted_meanwhile,
    what_was_counted_meanwhile_outlives_an_abort,
    unfinished_batch_is_held_back,
    what_was_not_counted_in_time_is_not_rewound_to,
    what_was_not_counted_in_time_is_committed,
    totals_are_taken_before_the_commit,
    totals_are_kept_in_doubt,
    offsets_are_committed_apart,
    producer_is_kept_in_doubt,
    retries_are_forgotten,
    store_is_written_before_the_commit,
    input_is_not_rewound_after_an_abort,
    restore_ends_at_the_last_stable_offset,
    restore_position_ignores_markers,
    committed_offsets_are_not_stable,
    committed_offsets_are_read_after_the_changelog,
    fence_is_ignored,
    offsets_are_sent_without_the_group,
    doubt_is_taken_for_an_abort,
    restore_checkpoints_what_it_has_not_written,
    checkpoint_runs_ahead,
]


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_broken_rule_is_noticed(mutate: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    mutate(monkeypatch)
    assert any(is_noticed(seed) for seed in SEEDS)


def is_noticed(seed: int) -> bool:
    try:
        Simulation(seed, STOPPED_OFTEN).run()
    except (AssertionError, KeyError):  # a Violation, a fake used as no broker can be, a partition not ours
        return True
    return False
