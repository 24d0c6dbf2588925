"""The exactly-once transaction: Kafka first, RocksDB after."""

from collections.abc import Mapping

from stream.core.evidence import CommittedOffset, Evidence, LogEnds
from stream.core.processed_offset import ProcessedOffset
from stream.errors import Abortable, MustNotCommit
from stream.ports import Batch, Sink
from stream.worker.assignment import Assignment, StateUpdates
from stream.worker.processing import Processor


def transact(batch: Batch, processor: Processor, sink: Sink, assignment: Assignment) -> StateUpdates:
    """Commit results, dead letters, totals and offsets in one transaction, then write the stores.

    Each exit has a meaning:
        returned: committed and written to the stores.
        Abortable: aborted; the caller rewinds to the start of the batch and continues.
        InDoubt: the outcome is unknown, or the abort failed; the caller replaces the producer, reads the
            committed offsets again and restores the tail of the changelog.
        Fatal: stop. If the batch must not be committed (MustNotCommit), it is aborted first. If a store was
            not written after the commit (a full disk), a restart restores the tail.
    """
    chunks = processor.process(batch)  # lazily: a chunk is processed when the loop below takes it
    sink.begin()
    try:
        for outputs in chunks:
            sink.produce(outputs)
        updates = processor.state_updates()
        for number, offset in updates.offsets.items():
            processed = ProcessedOffset(offset, processor.digest, sink.topic_ids["input"])
            sink.produce_changelog(number, updates.changelog(number), processed.headers())
        appended = sink.flush()
        # Input partitions may share a dead-letter log, so that one can hide what another one lost.
        with_dead_letters = {
            number: ["dead-letter"] for number in appended if "dead-letter" in appended[number]
        }
        assignment.check_logs(sink.log_ends, with_dead_letters)
        ends = assignment.advance_ends(appended)
        sink.send_offsets(_offsets(updates, ends, batch, processor, sink), batch.group_metadata)
        sink.commit()
    except (Abortable, MustNotCommit):
        sink.abort()  # readers wait for an open transaction
        raise
    assignment.apply(updates, ends)
    return updates


def _offsets(
    updates: StateUpdates, ends: Mapping[int, LogEnds], batch: Batch, processor: Processor, sink: Sink
) -> dict[int, CommittedOffset]:
    """Return the offsets to commit, each with its evidence."""
    committed = {}
    for number, offset in updates.offsets.items():
        evidence = Evidence(offset, sink.topic_ids, processor.digest, ends[number])
        epoch = batch.leader_epochs.get(number, -1)
        committed[number] = CommittedOffset(offset, evidence.encode(), epoch)
    return committed
