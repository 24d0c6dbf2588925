"""The exactly-once transaction: Kafka first, RocksDB after."""

from stream.core.processed_offset import ProcessedOffset
from stream.errors import Abortable, TooManyRejections
from stream.ports import Batch, Sink
from stream.worker.assignment import Assignment, StateUpdates
from stream.worker.processing import Processor


def transact(batch: Batch, processor: Processor, sink: Sink, assignment: Assignment) -> StateUpdates:
    """Commit results, dead letters, totals and offsets in one transaction, then write the stores.

    Each exit has a meaning:
        returned: committed and written to the stores.
        Abortable: aborted; the caller rewinds to the start of the batch and continues.
        InDoubt: the outcome is unknown, or the abort failed; the caller replaces the producer, reads the
            committed offsets again and restores the tail.
        Fatal: stop. If the batch must not be committed (TooManyRejections), it is aborted first. If a
            store was not written after the commit (a full disk), a restart restores the tail.
    """
    chunks = processor.process(batch)  # lazily: a chunk is processed when the loop below takes it
    sink.begin()
    try:
        for records in chunks:
            sink.produce(records)
        updates = processor.state_updates()
        for partition, changed in updates.changed.items():
            processed = ProcessedOffset(updates.offsets[partition].offset, processor.digest)
            sink.produce_changelog(partition, changed.changes, processed.headers())
        sink.send_offsets(updates.offsets, batch.group_metadata)
        restore_from = sink.commit()
    except (Abortable, TooManyRejections):
        sink.abort()  # readers wait for an open transaction
        raise
    assignment.apply(updates, restore_from)
    return updates
