"""Where an audit looks up to, while workers may go on: the order of the questions is the argument.

1. Committed offsets (stable ones): every input record below them has an outcome, already in the logs.
2. The ends of the count topic; wait until the last stable offset has passed them: every transaction with a
   total below is decided, so all its records are in the logs.
3. The ends of results and dead letters; wait for them likewise: what is below is decided, and holds the
   outcomes of 1 and of every total of 2.
4. Committed offsets again (stable): every outcome below 3 is of input below them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from stream.config import Settings
from stream.errors import Fatal, Retriable
from stream.kafka.clients import Admin, reader_options
from stream.kafka.offsets import committed_offsets, offset_ranges
from stream.kafka.reader import partitions_of
from stream.worker.patience import retry_for

STABLE_S_MAX = 120.0  # an open transaction of a dead worker ends within its timeout
ASK_S = 0.2
COMMITTED_S = 5.0

T = TypeVar("T")
Ranges = Mapping[int, tuple[int, int]]
"""Partition -> first offset and end."""


@dataclass(frozen=True, slots=True)
class AuditSnapshot:
    """How far each topic is looked at.

    Attributes:
        committed: input partition -> below it every record has an outcome below the ends.
        input: the same -> where it begins, and the offset that no outcome below the ends reaches.
    """

    committed: Mapping[int, int]
    input: Ranges
    results: Ranges
    dead_letters: Ranges
    counts: Ranges


def make_cut(settings: Settings, admin: Admin) -> AuditSnapshot:
    """Ask, in that order.

    Raises:
        Fatal: a topic is missing, or a transaction stays open.
    """
    inputs = partitions_of(admin, settings.input_topic)
    before = _committed(settings, inputs)
    counts = _decided(admin, settings.count_topic)
    results = _decided(admin, settings.result_topic)
    letters = _decided(admin, settings.dead_letter_topic)
    after = _committed(settings, inputs)
    first = {p: begin for p, (begin, _) in offset_ranges(admin, settings.input_topic, inputs).items()}
    return AuditSnapshot(
        committed={p: before[p] or 0 for p in inputs},
        input={p: (first[p], max(first[p], after[p] or 0)) for p in inputs},
        results=results,
        dead_letters=letters,
        counts=counts,
    )


def _committed(settings: Settings, partitions: Sequence[int]) -> dict[int, int | None]:
    options = reader_options(settings)
    return _patiently(
        f"the committed offsets of {settings.group_id}",
        lambda: committed_offsets(options, settings.input_topic, partitions, COMMITTED_S),
    )


def _decided(admin: Admin, topic: str) -> Ranges:
    """Return the ranges of a topic, once nothing below their ends is open."""
    partitions = partitions_of(admin, topic)
    ranges = _patiently(topic, lambda: offset_ranges(admin, topic, partitions))

    def check() -> Ranges:
        stable = offset_ranges(admin, topic, partitions, stable=True)
        still = [p for p, (_, end) in ranges.items() if stable[p][1] < end]
        if still:
            raise Retriable(f"a transaction is open in {topic}, partition {still[0]}")
        return ranges

    return _patiently(topic, check)


def _patiently(what: str, ask: Callable[[], T]) -> T:
    try:
        return retry_for(ask, STABLE_S_MAX, ASK_S)
    except Retriable as why:
        raise Fatal(f"{what}: not stable within {STABLE_S_MAX:.0f} s: {why}") from why
