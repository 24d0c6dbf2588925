"""Determines the age of a view from the latest measured ends of the logs that it has reached."""

from collections import defaultdict, deque
from collections.abc import Collection, Mapping
from typing import NamedTuple

from stream.kafka.offsets import LogPartition

_PENDING_MAX = 240  # measured ends that the view has not reached yet


class Freshness(NamedTuple):
    """What a response covers.

    Attributes:
        age_s: everything that was committed this long ago is covered; None until the end was reached once.
        offsets: topic -> partition -> everything before this offset is covered.
    """

    age_s: float | None
    offsets: Mapping[str, Mapping[int, int]]


class ReachedEnds:
    """Compares positions with previously measured ends of the logs.

    All that was committed before a measurement lies below the last stable offsets that it returned, so a
    view whose positions have reached them is complete as of that moment. One thread measures, one updates.
    """

    def __init__(self) -> None:
        self._pending = defaultdict[str, deque[tuple[float, Mapping[int, int]]]](deque)
        self._complete_at: dict[str, float] = {}

    def measured(self, topic: str, at_s: float, ends: Mapping[int, int]) -> None:
        """Add the last stable offsets by partition that were requested at a time of the monotonic clock."""
        pending = self._pending[topic]
        if len(pending) < _PENDING_MAX:  # the oldest ones must stay: they are reached first
            pending.append((at_s, ends))

    def update(self, positions: Mapping[LogPartition, int]) -> None:
        """Compare with the current positions of the view."""
        for topic, pending in list(self._pending.items()):
            while pending and all(positions.get((topic, p), 0) >= end for p, end in pending[0][1].items()):
                self._complete_at[topic] = pending.popleft()[0]

    def age_s(self, topics: Collection[str], now_s: float) -> float | None:
        """Return how long ago the view was certainly complete in these topics; None if it never was."""
        moments = [self._complete_at.get(topic) for topic in topics]
        known = [moment for moment in moments if moment is not None]
        return now_s - min(known) if len(known) == len(moments) else None
