"""Reads the last outcomes of each input partition, from the committed ends of results and dead letters."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from stream.config import Settings
from stream.core.partition_facts import PartitionFacts
from stream.core.records import Header
from stream.core.skipped import read_skipped
from stream.kafka.clients import Admin, reader_options
from stream.kafka.topics import Topics
from stream.tools.audit.outcomes import read_result
from stream.tools.kafka.backwards import decided_ranges, read_backwards
from stream.tools.kafka.topic_reader import StoredRecord, read_topic
from stream.tools.offsets.facts import wait_s_max
from stream.tools.offsets.plan import LastOutcome, LastOutcomes

DEAD_LETTERS_MAX = 50_000  # offsets per partition to search for the last dead letter of an input partition
RESULTS_MAX = 1_000_000
_TOPIC, _PARTITION, _OFFSET = (f"__streams.errors.{name}" for name in ("topic", "partition", "offset"))
_GROUP = "dead-letter.group"


class Outcome(NamedTuple):
    """A result, a dead letter, or the record of a skipped range.

    Attributes:
        partition: input partition.
        last: input offset of the outcome; for a range, the last one.
        uncounted: input offsets that, according to this outcome, changed no total.
    """

    partition: int
    last: int
    uncounted: range


def read_outcomes(
    settings: Settings, admin: Admin, topics: Topics, facts: Sequence[PartitionFacts]
) -> dict[int, LastOutcomes]:
    """Return the last outcomes by input partition.

    Raises:
        Retriable: the broker is unavailable.
        Refused: a transaction stays open, or access is denied.
    """
    covered = {each.partition: each.processed.input_offset if each.processed else 0 for each in facts}
    dead_letters, certain = _read_dead_letters(settings, admin, topics, covered)
    ranges = decided_ranges(admin, topics.result.name, list(covered), wait_s_max(settings))

    def extract(record: StoredRecord) -> Outcome | None:
        result = read_result(record.offset, record.key, record.value, settings.input_topic)
        if result is None or result.source[0] != record.partition:
            return None
        partition, offset = result.source
        has_totals = bool(result.body.get("anagram_counts"))
        return Outcome(partition, offset, range(offset, offset if has_totals else offset + 1))

    def is_enough(partition: int, results: Sequence[Outcome]) -> bool:
        return any(each.last < covered[partition] or not each.uncounted for each in results)

    entries, left = read_backwards(
        reader_options(settings),
        admin,
        topics.result.name,
        ranges,
        extract=extract,
        is_enough=is_enough,
        offsets_max=RESULTS_MAX,
    )
    gaps = {p: uncounted_gaps(end, [*entries[p], *dead_letters[p]]) for p, end in covered.items()}
    counted = _read_counted(settings, admin, facts, gaps)
    outcomes = {}
    for partition, results in entries.items():
        is_whole = partition not in left and ranges[partition][0] == 0
        outcomes[partition] = LastOutcomes(
            LastOutcome(results[-1].last if results else None, bool(results) or is_whole),
            LastOutcome(max((o.last for o in dead_letters[partition]), default=None), partition in certain),
            is_uncounted=partition not in counted,
            is_checked=is_whole or any(each.last < covered[partition] for each in results),
        )
    return outcomes


def read_dead_letter(headers: Sequence[Header], topic: str, group: str) -> Outcome | None:
    """Read a dead letter that the group wrote for a record of the input `topic`; None if it is not one."""
    values = dict(headers)
    if (values.get(_TOPIC), values.get(_GROUP)) != (topic.encode(), group.encode()):
        return None
    if (skipped := read_skipped(headers)) is not None:
        uncounted = range(max(skipped.first, skipped.counted_to), skipped.end)
        return Outcome(skipped.partition, skipped.end - 1, uncounted)
    try:
        partition, offset = int(values[_PARTITION] or b""), int(values[_OFFSET] or b"")
    except (KeyError, ValueError):
        return None
    return Outcome(partition, offset, range(offset, offset + 1))


def dead_letter_partitions(inputs: Sequence[int], number: int) -> dict[int, set[int]]:
    """Return, by input partition, where its dead letters may be in a topic that has `number` partitions now.

    A worker writes to the input partition modulo the number, which may have been lower before.
    """
    return {partition: {partition % n for n in range(1, number + 1)} for partition in inputs}


def certain_partitions(
    homes: Mapping[int, set[int]], entries: Mapping[int, Sequence[Outcome]], whole: set[int]
) -> set[int]:
    """Return the input partitions that have no later dead letter than the ones found.

    `entries` are the outcomes found at the end of each dead-letter partition; `whole` are those partitions
    that were read from their first record on. Each contains the dead letters of an input partition in order.
    """
    reached = {(home, each.partition) for home, outcomes in entries.items() for each in outcomes}
    return {p for p, of_p in homes.items() if all(home in whole or (home, p) in reached for home in of_p)}


def uncounted_gaps(covered: int, outcomes: Sequence[Outcome]) -> set[int] | None:
    """Return the offsets from `covered` to the last outcome that have no outcome.

    None if an outcome shows that totals changed, or if there are too many offsets.
    """
    end = max((each.last + 1 for each in outcomes), default=0)
    is_counted = any(each.last >= covered and not each.uncounted for each in outcomes)
    if is_counted or end - covered > RESULTS_MAX:
        return None
    return set(range(covered, end)).difference(*(each.uncounted for each in outcomes))


def _read_counted(
    settings: Settings, admin: Admin, facts: Sequence[PartitionFacts], gaps: Mapping[int, set[int] | None]
) -> set[int]:
    """Return the input partitions in which a record from `covered` on may have changed a total.

    An offset without an outcome need not be a record: it may be a transaction marker of a producer.
    """
    log = {each.partition: range(each.first, each.end) for each in facts}
    asked = {
        p: offsets
        for p, offsets in gaps.items()
        if offsets and min(offsets) in log[p] and max(offsets) in log[p]
    }
    counted = {p for p, offsets in gaps.items() if offsets is None or (offsets and p not in asked)}
    start = {p: min(offsets) for p, offsets in asked.items()}
    ends = {p: max(offsets) + 1 for p, offsets in asked.items()}
    records = read_topic(reader_options(settings), admin, settings.input_topic, start=start, ends=ends)
    return counted | {record.partition for record in records if record.offset in asked[record.partition]}


def _read_dead_letters(
    settings: Settings, admin: Admin, topics: Topics, covered: Mapping[int, int]
) -> tuple[dict[int, list[Outcome]], set[int]]:
    """Return the dead letters by input partition, and the partitions that certainly have no later ones."""
    topic, number = topics.dead_letter.name, topics.dead_letter.partitions
    ranges = decided_ranges(admin, topic, range(number), wait_s_max(settings))
    homes = dead_letter_partitions(list(covered), number)

    def extract(record: StoredRecord) -> Outcome | None:
        letter = read_dead_letter(record.headers, settings.input_topic, settings.group_id)
        return letter if letter is not None and letter.partition in covered else None

    def is_enough(home: int, outcomes: Sequence[Outcome]) -> bool:
        reached = {each.partition for each in outcomes if each.last < covered[each.partition]}
        return all(p in reached for p, of_p in homes.items() if home in of_p)

    entries, left = read_backwards(
        reader_options(settings),
        admin,
        topic,
        ranges,
        extract=extract,
        is_enough=is_enough,
        offsets_max=DEAD_LETTERS_MAX,
    )
    of_input: dict[int, list[Outcome]] = {partition: [] for partition in covered}
    for each in (outcome for outcomes in entries.values() for outcome in outcomes):
        of_input[each.partition].append(each)
    whole = {home for home in entries if home not in left and ranges[home][0] == 0}
    return of_input, certain_partitions(homes, entries, whole)
