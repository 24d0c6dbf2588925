"""Reads the offsets between which an audit compares the topics, while workers keep writing.

The order of the requests makes them consistent:

1. Stable committed offsets: every input record below them has an outcome, which is in the logs already.
2. The ends of the count topic; wait until the last stable offset has passed them. Every transaction with a
   total below them is then decided, so all its records are in the logs.
3. The ends of results and dead letters; wait for them in the same way. Everything below them is decided,
   and includes the outcomes of 1 and of every total of 2.
4. Stable committed offsets again: every outcome below 3 belongs to input below them.
5. The last stable offsets of the input: the input between 4 and them is pending.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from stream.config import Settings
from stream.errors import Fatal, Retriable
from stream.kafka.clients import Admin, reader_options
from stream.kafka.offsets import committed_offsets, offset_ranges, partitions_of
from stream.worker.startup import retry_for

STABLE_S_MAX = 120.0  # an open transaction of a dead worker ends within its timeout
RETRY_S = 0.2
COMMITTED_TIMEOUT_S = 5.0

T = TypeVar("T")
Ranges = Mapping[int, tuple[int, int]]
"""Partition -> first offset and end."""


@dataclass(frozen=True, slots=True)
class AuditSnapshot:
    """The ranges of offsets that an audit reads, by partition.

    Attributes:
        committed: input partition -> every input record below this offset has an outcome below the ends;
            None if the group has no committed offset.
        committed_later: input partition -> all outcomes and totals below the ends belong to input below it.
        log: input partition -> its first offset and its last stable one.
    """

    committed: Mapping[int, int | None]
    committed_later: Mapping[int, int]
    log: Ranges
    results: Ranges
    dead_letters: Ranges
    counts: Ranges

    @property
    def input(self) -> Ranges:
        """Input partition -> the range of offsets whose outcomes are compared."""
        return {
            p: (first, min(max(first, self.committed_later[p]), max(first, end)))
            for p, (first, end) in self.log.items()
        }


def take_snapshot(settings: Settings, admin: Admin) -> AuditSnapshot:
    """Request the offsets, in the order above.

    Raises:
        Fatal: a topic is missing, or a transaction stays open.
    """
    inputs = partitions_of(admin, settings.input_topic)
    before = _committed(settings, inputs)
    counts = _decided(admin, settings.count_topic)
    results = _decided(admin, settings.result_topic)
    dead_letters = _decided(admin, settings.dead_letter_topic)
    after = _committed(settings, inputs)
    return AuditSnapshot(
        committed=before,
        committed_later={p: after[p] or 0 for p in inputs},
        log=offset_ranges(admin, settings.input_topic, inputs, stable=True),
        results=results,
        dead_letters=dead_letters,
        counts=counts,
    )


def _committed(settings: Settings, partitions: Sequence[int]) -> dict[int, int | None]:
    options = reader_options(settings)
    return _until_stable(
        f"the committed offsets of {settings.group_id}",
        lambda: committed_offsets(options, settings.input_topic, partitions, COMMITTED_TIMEOUT_S),
    )


def _decided(admin: Admin, topic: str) -> Ranges:
    """Return the ranges of a topic, once no transaction below their ends is open."""
    partitions = partitions_of(admin, topic)
    ranges = _until_stable(topic, lambda: offset_ranges(admin, topic, partitions))

    def check() -> Ranges:
        stable = offset_ranges(admin, topic, partitions, stable=True)
        unstable = [p for p, (_, end) in ranges.items() if stable[p][1] < end]
        if unstable:
            raise Retriable(f"a transaction is open in {topic}, partition {unstable[0]}")
        return ranges

    return _until_stable(topic, check)


def _until_stable(subject: str, request: Callable[[], T]) -> T:
    try:
        return retry_for(request, STABLE_S_MAX, RETRY_S)
    except Retriable as why:
        raise Fatal(f"{subject}: not stable within {STABLE_S_MAX:.0f} s: {why}") from why
