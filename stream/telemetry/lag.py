"""How far each partition of ours is behind, in records and in seconds; exactly 0 when all is done.

An offset is not always a record: markers and aborted records take offsets, too, so the last stable offset
less our position need not become 0 (librdkafka#3917). It is 0 when the client has fetched up to the last
stable offset, holds nothing in its queue, and all that it gave us is committed.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stream.ports import Clock


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the client knows of a partition.

    Attributes:
        at_s: when it knew it, since the epoch.
        position: the next offset to fetch.
        queued: records fetched that it has not given us.
    """

    at_s: float
    last_stable_offset: int
    position: int
    queued: int


@dataclass(slots=True)
class _Partition:
    since_s: float  # when it became ours
    running_s: float = 0.0  # when its restore ended
    position: int | None = None  # committed
    given: int = 0  # next offset after what the client gave us
    end: int | None = None  # last stable offset
    drained: bool = False
    drained_s: float | None = None  # when nothing was left to do, last
    stamp_s: float | None = None  # timestamp of the last record done


class Lag:
    """Written by the loop and by who looks at the cluster, read by the server's threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._partitions: dict[int, _Partition] = {}

    def assigned(self, partitions: Sequence[int]) -> None:
        """These are ours."""
        with self._lock:
            for number in partitions:
                self._partitions[number] = _Partition(self._clock.now())

    def revoked(self, partitions: Sequence[int]) -> None:
        """These are not."""
        with self._lock:
            for number in partitions:
                self._partitions.pop(number, None)

    def restored(self, number: int, position: int) -> None:
        """It runs, from this offset."""
        with self._lock:
            if (at := self._partitions.get(number)) is not None:
                at.position, at.given = position, position
                at.running_s, at.drained = self._clock.now(), False

    def not_running(self) -> list[int]:
        """Return the partitions of ours that the client fetches nothing of."""
        with self._lock:
            return [number for number, at in self._partitions.items() if not at.running_s]

    def stopped(self) -> None:
        """None runs: the producer is in doubt."""
        with self._lock:
            for at in self._partitions.values():
                at.running_s, at.drained = 0.0, False

    def given(self, offsets: Mapping[int, int]) -> None:
        """We hold records before these offsets."""
        with self._lock:
            for number, offset in offsets.items():
                if (at := self._partitions.get(number)) is not None:
                    at.given, at.drained = offset, False
                    at.end = max(at.end or 0, offset)

    def committed(self, offsets: Mapping[int, int], stamps_ms: Mapping[int, int]) -> None:
        """All before these offsets is done; the last records had these timestamps."""
        with self._lock:
            for number, offset in offsets.items():
                if (at := self._partitions.get(number)) is None:
                    continue
                at.position = offset
                if (stamp := stamps_ms.get(number, 0)) > 0:
                    at.stamp_s = stamp / 1000

    def fetched(self, number: int, what: Fetched) -> None:
        """Take what the client says of a partition that runs; what is from before it ran is left."""
        with self._lock:
            at = self._partitions.get(number)
            if at is None or at.position is None or not at.running_s or what.at_s <= at.running_s:
                return
            if what.last_stable_offset < 0:
                return
            at.end = max(what.last_stable_offset, at.given)
            at.drained = (
                what.queued == 0 and what.position >= what.last_stable_offset and at.given <= at.position
            )
            if at.drained:
                at.drained_s = what.at_s

    def looked(self, number: int, last_stable_offset: int, position: int) -> None:
        """Take what the cluster says of a partition that does not run."""
        with self._lock:
            if (at := self._partitions.get(number)) is not None and not at.running_s:
                at.end, at.position = last_stable_offset, position

    def records(self) -> dict[tuple[str, ...], float]:
        """Return the lag by partition, where it is known."""
        with self._lock:
            return {
                (str(number),): _records(at)
                for number, at in self._partitions.items()
                if at.end is not None and at.position is not None
            }

    def seconds(self) -> dict[tuple[str, ...], float]:
        """Return how old the oldest input not yet done may be, by partition.

        It is younger than the last record done, and than the time when there was none left.
        """
        now = self._clock.now()
        with self._lock:
            return {
                (str(number),): max(0.0, now - _not_before(at)) if _records(at) else 0.0
                for number, at in self._partitions.items()
                if at.end is not None and at.position is not None
            }


def _records(at: _Partition) -> int:
    if at.drained or at.end is None or at.position is None:
        return 0
    return max(0, at.end - at.position)


def _not_before(at: _Partition) -> float:
    known = [when for when in (at.stamp_s, at.drained_s) if when is not None]
    return max(known) if known else at.since_s
