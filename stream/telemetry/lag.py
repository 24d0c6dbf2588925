"""The lag of each assigned partition, in records and in seconds; exactly 0 when all input is processed.

An offset is not always a record: commit markers and aborted records take offsets too, so the last stable
offset minus the committed position need not become 0 (librdkafka#3917). The lag is 0 when the client has
fetched up to the last stable offset, has nothing queued, and everything that it delivered is committed.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stream.ports import Clock


@dataclass(frozen=True, slots=True)
class ClientPosition:
    """How far the Kafka client is in a partition.

    Attributes:
        at_s: the time of this information, in seconds since the epoch.
        position: the next offset to fetch.
        queued: records that are fetched and not yet delivered.
    """

    at_s: float
    last_stable_offset: int
    position: int
    queued: int


@dataclass(slots=True)
class _Partition:
    """Times are in seconds since the epoch."""

    assigned_at_s: float
    running_since_s: float = 0.0  # 0: it does not run
    committed: int | None = None  # committed offset
    polled: int = 0  # the offset after the last polled record
    last_stable_offset: int | None = None
    is_drained: bool = False
    drained_at_s: float | None = None  # when there was last nothing left to process
    processed_timestamp_s: float | None = None  # timestamp of the last committed record


class Lag:
    """Written by the loop, the client's callbacks and the cluster monitor; read by the HTTP server."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._partitions: dict[int, _Partition] = {}

    def assigned(self, partitions: Sequence[int]) -> None:
        with self._lock:
            for number in partitions:
                self._partitions[number] = _Partition(self._clock.now())

    def revoked(self, partitions: Sequence[int]) -> None:
        with self._lock:
            for number in partitions:
                self._partitions.pop(number, None)

    def restored(self, number: int, position: int) -> None:
        """The partition runs from this offset."""
        with self._lock:
            if (partition := self._partitions.get(number)) is not None:
                partition.committed, partition.polled = position, position
                partition.running_since_s, partition.is_drained = self._clock.now(), False

    def not_running(self) -> list[int]:
        """Return the assigned partitions from which the client does not fetch."""
        with self._lock:
            return [number for number, partition in self._partitions.items() if not partition.running_since_s]

    def in_doubt(self) -> None:
        """No partition runs until it is restored again."""
        with self._lock:
            for partition in self._partitions.values():
                partition.running_since_s, partition.is_drained = 0.0, False

    def polled(self, next_offsets: Mapping[int, int]) -> None:
        """The worker holds records before these offsets."""
        with self._lock:
            for number, offset in next_offsets.items():
                if (partition := self._partitions.get(number)) is not None:
                    partition.polled, partition.is_drained = offset, False
                    partition.last_stable_offset = max(partition.last_stable_offset or 0, offset)

    def committed(self, offsets: Mapping[int, int], timestamps_ms: Mapping[int, int]) -> None:
        """All input before these offsets is processed; its last records had these timestamps."""
        with self._lock:
            for number, offset in offsets.items():
                if (partition := self._partitions.get(number)) is None:
                    continue
                partition.committed = offset
                if (timestamp_ms := timestamps_ms.get(number, 0)) > 0:
                    # A producer's clock may be ahead, but no waiting record is younger than now.
                    partition.processed_timestamp_s = min(timestamp_ms / 1000, self._clock.now())

    def update_from_client(self, number: int, client: ClientPosition) -> None:
        """Update a running partition; information from before it ran is ignored."""
        with self._lock:
            partition = self._partitions.get(number)
            if partition is None or partition.committed is None or not partition.running_since_s:
                return
            if client.at_s <= partition.running_since_s or client.last_stable_offset < 0:
                return
            partition.last_stable_offset = max(client.last_stable_offset, partition.polled)
            partition.is_drained = (
                client.queued == 0
                and client.position >= client.last_stable_offset
                and partition.polled <= partition.committed
            )
            if partition.is_drained:
                partition.drained_at_s = client.at_s

    def update_from_cluster(self, number: int, last_stable_offset: int, committed: int) -> None:
        """Update a partition that does not run."""
        with self._lock:
            partition = self._partitions.get(number)
            if partition is not None and not partition.running_since_s:
                partition.last_stable_offset, partition.committed = last_stable_offset, committed

    def records(self) -> dict[tuple[str, ...], float]:
        """Return the lag in records by partition, for partitions where it is known."""
        with self._lock:
            return {
                (str(number),): _records(partition)
                for number, partition in self._partitions.items()
                if partition.last_stable_offset is not None and partition.committed is not None
            }

    def seconds(self) -> dict[tuple[str, ...], float]:
        """Return the greatest possible age of the oldest unprocessed input, by partition.

        That input is younger than the last committed record and arrived after the partition was last drained.
        """
        now = self._clock.now()
        with self._lock:
            return {
                (str(number),): max(0.0, now - _oldest_s(partition)) if _records(partition) else 0.0
                for number, partition in self._partitions.items()
                if partition.last_stable_offset is not None and partition.committed is not None
            }


def _records(partition: _Partition) -> int:
    if partition.is_drained or partition.last_stable_offset is None or partition.committed is None:
        return 0
    return max(0, partition.last_stable_offset - partition.committed)


def _oldest_s(partition: _Partition) -> float:
    """Return a lower bound for the time of all unprocessed input."""
    bounds = [s for s in (partition.processed_timestamp_s, partition.drained_at_s) if s is not None]
    return max(bounds) if bounds else partition.assigned_at_s
