"""Reads the last outcomes of each input partition, from the committed ends of results and dead letters."""

from collections.abc import Sequence
from typing import NamedTuple

from stream.config import Settings
from stream.core.partition_facts import PartitionFacts
from stream.core.skipped import read_skipped
from stream.kafka.clients import Admin, reader_options
from stream.kafka.topics import Topics
from stream.tools.audit.outcomes import read_result
from stream.tools.kafka.backwards import decided_ranges, read_backwards
from stream.tools.kafka.topic_reader import StoredRecord
from stream.tools.offsets.facts import wait_s_max
from stream.tools.offsets.plan import LastOutcome, LastOutcomes

DEAD_LETTERS_MAX = 50_000  # offsets per partition that are searched for the last dead letter of an input
RESULTS_MAX = 1_000_000
_TOPIC, _PARTITION, _OFFSET = (f"__streams.errors.{name}" for name in ("topic", "partition", "offset"))
_GROUP = "dead-letter.group"


class _Result(NamedTuple):
    offset: int  # of the input
    has_totals: bool


def read_outcomes(
    settings: Settings, admin: Admin, topics: Topics, facts: Sequence[PartitionFacts]
) -> dict[int, LastOutcomes]:
    """Return the last outcomes by input partition.

    Raises:
        Retriable: the broker is unavailable.
        Refused: a transaction stays open, or access is denied.
    """
    dead_letters = _read_dead_letters(settings, admin, topics)
    covered = {each.partition: each.processed.input_offset if each.processed else 0 for each in facts}
    ranges = decided_ranges(admin, topics.result.name, list(covered), wait_s_max(settings))

    def extract(record: StoredRecord) -> _Result | None:
        result = read_result(record.offset, record.key, record.value, settings.input_topic)
        if result is None or result.source[0] != record.partition:
            return None
        return _Result(result.source[1], bool(result.body.get("anagram_counts")))

    def is_enough(partition: int, results: Sequence[_Result]) -> bool:
        end = covered[partition]
        return any(each.offset < end or each.has_totals for each in results)

    entries, left = read_backwards(
        reader_options(settings),
        admin,
        topics.result.name,
        ranges,
        extract=extract,
        is_enough=is_enough,
        offsets_max=RESULTS_MAX,
    )
    outcomes = {}
    for partition, results in entries.items():
        end, is_whole = covered[partition], partition not in left and ranges[partition][0] == 0
        last = results[-1].offset if results else None
        outcomes[partition] = LastOutcomes(
            LastOutcome(last, last is not None or is_whole),
            dead_letters[partition],
            next((each.offset for each in results if each.offset >= end and each.has_totals), None),
            is_whole or any(each.offset < end for each in results),
        )
    return outcomes


def _read_dead_letters(settings: Settings, admin: Admin, topics: Topics) -> dict[int, LastOutcome]:
    """Return by input partition its last dead letter; several inputs may share a dead-letter partition."""
    number, topic = topics.dead_letter.partitions, topics.dead_letter.name
    ranges = decided_ranges(admin, topic, range(number), wait_s_max(settings))
    owners = {p: {i for i in range(topics.input.partitions) if i % number == p} for p in range(number)}
    source = (settings.input_topic.encode(), settings.group_id.encode())

    def extract(record: StoredRecord) -> tuple[int, int] | None:
        """Return partition and offset of the input record."""
        headers = dict(record.headers)
        if (headers.get(_TOPIC), headers.get(_GROUP)) != source:
            return None
        if (skipped := read_skipped(record.headers)) is not None:
            return skipped.partition, skipped.end - 1
        try:
            return int(headers[_PARTITION] or b""), int(headers[_OFFSET] or b"")
        except (KeyError, ValueError):
            return None

    def is_enough(partition: int, sources: Sequence[tuple[int, int]]) -> bool:
        return owners[partition] <= {source for source, _ in sources}

    entries, left = read_backwards(
        reader_options(settings),
        admin,
        topic,
        ranges,
        extract=extract,
        is_enough=is_enough,
        offsets_max=DEAD_LETTERS_MAX,
    )
    last: dict[int, LastOutcome] = {}
    for partition, sources in entries.items():
        latest: dict[int, int] = {}
        for owner, offset in sources:
            latest[owner] = max(offset, latest.get(owner, offset))
        is_whole = partition not in left and ranges[partition][0] == 0
        for owner in owners[partition]:
            last[owner] = LastOutcome(latest.get(owner), owner in latest or is_whole)
    return last
