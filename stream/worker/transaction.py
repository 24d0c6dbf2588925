"""The exactly-once transaction: Kafka first, RocksDB after."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from stream.core.processed_offset import ProcessedOffset
from stream.core.records import OutputRecord
from stream.errors import Abortable, Fatal
from stream.ports import Changes, Checkpoint, CommittedOffset, Sink, Store


@dataclass(frozen=True, slots=True)
class Staged:
    """What a transaction commits beside its records: known when all of them are counted.

    Attributes:
        changes: partition -> changed totals; only partitions with any.
        offsets: partition -> the input's next offset, of every partition in the batch.
    """

    changes: Mapping[int, Changes]
    offsets: Mapping[int, CommittedOffset]


@dataclass(frozen=True, slots=True)
class Work:
    """What one transaction is made of.

    Attributes:
        steps: results and dead letters, in input order within each partition; some are counted as they
            are taken.
        stage: called when all are taken. Raises Fatal: they must not be committed.
        group: the group's metadata as of the poll that brought the batch.
        dictionary: digest of the dictionary counted with.
    """

    steps: Iterable[Sequence[OutputRecord]]
    stage: Callable[[], Staged]
    group: object = field(repr=False)
    dictionary: str


def transact(work: Work, sink: Sink, stores: Mapping[int, Store]) -> Staged:
    """Commit offsets, results, dead letters and totals in one transaction, then write the stores.

    Each way out has a meaning:
        returned: committed, and in the stores.
        Abortable: aborted; the caller rewinds to the start of the batch and goes on.
        InDoubt: the outcome is unknown, a failed abort among them; the caller replaces the producer,
            reads committed offsets again and restores the tail.
        Fatal: stop. From the stores (a full disk) it comes after the commit: a restart restores the tail.
    """
    sink.begin()
    try:
        for records in work.steps:
            sink.produce(records)
        try:
            staged = work.stage()
        except Fatal:
            sink.abort()  # readers wait for an open transaction
            raise
        for partition, changes in staged.changes.items():
            processed_offset = ProcessedOffset(staged.offsets[partition].offset, work.dictionary)
            sink.produce_changelog(partition, changes, processed_offset.headers())
        sink.send_offsets(staged.offsets, work.group)
        restore_from = sink.commit()
    except Abortable:
        sink.abort()
        raise
    for partition, changes in staged.changes.items():
        checkpoint = Checkpoint(restore_from[partition], staged.offsets[partition].offset)
        stores[partition].write(changes, checkpoint)
    return staged
