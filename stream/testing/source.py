"""The port `Source` on the fake cluster."""

from collections.abc import Mapping, Sequence

from stream.core.evidence import CommittedOffset
from stream.core.records import InputRecord
from stream.errors import Refused, Retriable
from stream.ports import AssignmentListener, Batch
from stream.testing.cluster import FakeCluster
from stream.testing.faults import Faults, faulty

RECORDS_MAX = 100


class FakeSource:
    """One member of the group.

    Rebalances are served at the start of `poll_batch` and again after it took its records, as a real consumer
    may do: records of a partition that was then revoked are not delivered.

    Attributes:
        member: the id of this member; None before the first `poll_batch`.
        assigned: the partitions that this consumer believes it owns.
    """

    def __init__(
        self,
        cluster: FakeCluster,
        topic: str,
        group_id: str,
        faults: Faults | None = None,
        *,
        records_max: int = RECORDS_MAX,
    ) -> None:
        self.faults = faults or Faults()
        self.member: str | None = None
        self.assigned: list[int] = []
        self._cluster = cluster
        self._group = cluster.group(group_id, topic)
        self._topic = topic
        self._records_max = records_max
        self._listener: AssignmentListener | None = None
        self._positions: dict[int, int] = {}  # of resumed partitions
        self._leader_epochs: dict[int, int] = {}  # partition -> of the last record, -1 if unknown
        self._polls = 0

    @faulty("source.subscribe")
    def subscribe(self, listener: AssignmentListener) -> None:
        self._listener = listener

    @faulty("source.poll_batch")
    def poll_batch(self, wait_s: float) -> Batch:
        """Serve rebalances, then return records; without a record the time advances."""
        self._cluster.settle()
        if self._listener is None:
            self._cluster.clock.sleep(wait_s)
            return Batch()
        self._rebalance(self._listener)
        if self.member is None or not self._group.has(self.member):  # evicted within a callback
            return Batch()
        group_metadata = self._group.membership(self.member)
        records = self._take()
        if not records:
            self._cluster.clock.sleep(wait_s)
        self._rebalance(self._listener)
        delivered = [record for record in records if record.partition in self._positions]
        epochs = {record.partition: self._leader_epochs[record.partition] for record in delivered}
        return Batch.of(delivered, group_metadata, epochs)

    @faulty("source.committed")
    def committed(self, partitions: Sequence[int]) -> Mapping[int, CommittedOffset | None]:
        self._cluster.settle()
        return self._group.committed(partitions)

    @faulty("source.offset_range")
    def offset_range(self, partition: int) -> tuple[int, int]:
        log = self._cluster.log(self._topic, partition)
        return log.first_offset, log.high_watermark

    @faulty("source.resume_from")
    def resume_from(self, partition: int, offset: int, leader_epoch: int) -> None:
        if partition not in self.assigned:
            raise Retriable(f"partition {partition} is not assigned")
        self._positions[partition] = offset
        self._leader_epochs[partition] = leader_epoch

    @faulty("source.pause")
    def pause(self, partition: int) -> None:
        self._positions.pop(partition, None)

    @faulty("source.rewind")
    def rewind(self, offsets: Mapping[int, int]) -> None:
        self._positions.update((p, offset) for p, offset in offsets.items() if p in self._positions)

    @faulty("source.close")
    def close(self) -> None:
        self._listener = None
        self._positions.clear()
        self.assigned.clear()
        if self.member is not None:
            self._group.leave(self.member)
            self.member = None

    def _rebalance(self, listener: AssignmentListener) -> None:
        if self.member is None or not self._group.has(self.member):
            self._lose(listener)
            self.member = self._group.join()
        revoked, gained = self._group.poll(self.member)
        if revoked:
            self._drop(revoked)
            listener.revoked(revoked)
            self._group.release(self.member, revoked)
        if gained:
            self.assigned = sorted({*self.assigned, *gained})
            listener.assigned(gained)

    def _lose(self, listener: AssignmentListener) -> None:
        lost = list(self.assigned)
        self._drop(lost)
        if lost:
            listener.lost(lost)

    def _drop(self, partitions: Sequence[int]) -> None:
        self.assigned = [p for p in self.assigned if p not in partitions]
        for partition in partitions:
            self._positions.pop(partition, None)

    @faulty("source.consume")
    def _take(self) -> list[InputRecord]:
        """Take records, starting with another partition each time; advance the positions."""
        records: list[InputRecord] = []
        resumed = list(self._positions)
        self._polls += 1
        for number in range(len(resumed)):
            partition = resumed[(self._polls + number) % len(resumed)]
            log, position = self._cluster.log(self._topic, partition), self._positions[partition]
            if position < log.first_offset:
                raise Refused(f"{self._topic}, partition {partition}: offset {position} is gone", "reset")
            epoch = self._leader_epochs[partition]
            if position > log.high_watermark or (epoch >= 0 and position > log.end_of_epoch(epoch)):
                raise Refused(f"{self._topic}, partition {partition}: the log was truncated", "start over")
            fetched = log.read(position, self._records_max - len(records))
            self._positions[partition] = fetched.position
            for entry in fetched.entries:
                assert entry.record is not None
                key, value, headers = entry.record.key, entry.record.value, entry.record.headers
                timestamp_ms = entry.record.timestamp_ms
                self._leader_epochs[partition] = log.epoch_of(entry.offset)
                records.append(
                    InputRecord(self._topic, partition, entry.offset, key, value, headers, timestamp_ms)
                )
        return records
