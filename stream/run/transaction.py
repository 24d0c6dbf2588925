"""The exactly-once transaction: Kafka first, RocksDB after."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from stream.core.bookmark import Bookmark
from stream.core.records import OutputRecord
from stream.errors import Abortable
from stream.ports import Changes, Checkpoint, CommittedOffset, Sink, Store


@dataclass(frozen=True, slots=True)
class Work:
    """What one transaction commits.

    Attributes:
        records: results and dead letters, in input order within each partition.
        staged: partition -> changed totals; only partitions with any.
        offsets: partition -> the input's next offset, of every partition in the batch.
        group: the group's metadata as of the poll that brought the batch.
        dictionary: digest of the dictionary counted with.
    """

    records: Iterable[OutputRecord]
    staged: Mapping[int, Changes]
    offsets: Mapping[int, CommittedOffset]
    group: object = field(repr=False)
    dictionary: str


def transact(work: Work, sink: Sink, stores: Mapping[int, Store]) -> None:
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
        sink.produce(work.records)
        for partition, changes in work.staged.items():
            bookmark = Bookmark(work.offsets[partition].offset, work.dictionary)
            sink.produce_changelog(partition, changes, bookmark.headers())
        sink.send_offsets(work.offsets, work.group)
        restore_from = sink.commit()
    except Abortable:
        sink.abort()
        raise
    for partition, changes in work.staged.items():
        checkpoint = Checkpoint(restore_from[partition], work.offsets[partition].offset)
        stores[partition].write(changes, checkpoint)
