"""Reads the facts that the rule of `core/resume.py` needs for each input partition, without a restore."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from stream.config import Settings
from stream.core.evidence import CommittedOffset
from stream.core.partition_facts import PartitionFacts
from stream.core.processed_offset import ProcessedOffset, has_processed_offset, read_processed_offset
from stream.core.resume import START_OVER
from stream.dictionary import load_index
from stream.errors import Refused, Retriable
from stream.kafka.clients import Admin, make_admin, reader_options
from stream.kafka.offsets import Offsets, offset_ranges, stable_commits
from stream.kafka.output_logs import OutputLogs
from stream.kafka.topics import Topics, names
from stream.tools.kafka.backwards import OPEN_TRANSACTION_HINT, Ranges, decided_ranges, read_backwards
from stream.tools.kafka.input_log import truncated_partitions
from stream.tools.kafka.topic_reader import StoredRecord
from stream.tools.offsets.plan import refusal_of
from stream.worker.startup import retry_for

COMMITTED_TIMEOUT_S, RETRY_S = 2.0, 0.2
REQUESTS_MAX = 16  # concurrent
ABORT_S_MAX = 15.0  # after the timeout of a transaction, for the broker to abort it

Commits = Mapping[int, CommittedOffset | None]


def read_facts(settings: Settings, admin: Admin, topics: Topics, digest: str) -> list[PartitionFacts]:
    """Return the facts of each input partition; `digest` is that of the dictionary to count with.

    Workers may commit meanwhile. A commit between two requests is not mistaken for a contradiction.

    Raises:
        Retriable: the broker is unavailable.
        Refused: a transaction stays open, or the count topic contains records that no worker writes.
    """
    suspects = set[int]()
    while True:
        facts = _read_facts(settings, admin, topics, digest)
        without_commit = {each.partition for each in facts if each.has_outcomes}
        # A first transaction may have ended after the offset was read: the next read sees both.
        if without_commit <= suspects:
            return facts
        suspects = without_commit


def _read_facts(settings: Settings, admin: Admin, topics: Topics, digest: str) -> list[PartitionFacts]:
    partitions = range(topics.input.partitions)
    before = read_commits(settings, partitions)
    counts = decided_ranges(admin, topics.count.name, partitions, wait_s_max(settings))
    processed = _read_processed(settings, admin, counts)
    commits = read_commits(settings, partitions)
    processed |= _read_processed(settings, admin, _moving(before, commits, counts, topics))
    ranges = offset_ranges(admin, settings.input_topic, partitions)
    in_log = {
        number: each
        for number, each in commits.items()
        if each is not None and ranges[number][0] <= each.offset <= ranges[number][1]
    }
    truncated = truncated_partitions(reader_options(settings), settings.input_topic, in_log)
    logs = OutputLogs(reader_options(settings), Offsets(lambda: make_admin(settings)), names(settings))
    ends = logs.ends(
        {
            number: evidence.ends_in(topics.ids)
            for number, each in commits.items()
            if each is not None and (evidence := each.evidence) is not None
        }
    )

    def read(number: int) -> PartitionFacts:
        committed, totals = commits[number], processed[number]
        return PartitionFacts(
            names(settings),
            number,
            topics.ids,
            digest,
            committed,
            totals,
            *ranges[number],
            output_ends={role: end.offset for role, end in ends.get(number, {}).items()},
            has_outcomes=committed is None
            and totals is None
            and logs.has_outcomes(number, topics.dead_letter.partitions),
            is_truncated=number in truncated,
        )

    with ThreadPoolExecutor(REQUESTS_MAX) as executor:
        return list(executor.map(read, partitions))


def read_refusals(settings: Settings, admin: Admin, topics: Topics) -> list[Refused]:
    """Return why a worker with these settings refuses partitions; empty if it resumes all.

    Raises:
        Misconfigured: the dictionary cannot be read.
        Retriable, Refused: as for `read_facts`.
    """
    facts = read_facts(settings, admin, topics, load_index(settings.dictionary).digest)
    return [refusal for each in facts if (refusal := refusal_of(each)) is not None]


def read_commits(settings: Settings, partitions: Sequence[int]) -> Commits:
    """Return the group's committed offsets once they are stable.

    Raises:
        Refused: a transaction stays open.
    """
    options = reader_options(settings)
    wait_s = wait_s_max(settings)
    try:
        return retry_for(
            lambda: stable_commits(options, settings.input_topic, partitions, COMMITTED_TIMEOUT_S),
            wait_s,
            RETRY_S,
        )
    except Retriable as why:
        raise Refused(
            f"the committed offsets of {settings.group_id} have not been stable for more than "
            f"{wait_s:.0f} s, because a transaction is open or the broker is unavailable: {why}",
            OPEN_TRANSACTION_HINT,
        ) from why


def wait_s_max(settings: Settings) -> float:
    """Return how long the transaction of a dead worker can stay open, in seconds."""
    return settings.transaction_timeout_ms / 1000 + ABORT_S_MAX


def _moving(before: Commits, after: Commits, counts: Ranges, topics: Topics) -> Ranges:
    """Return the ranges of the count topic for partitions on which a worker is committing.

    They end where the changelog of the last commit ends, so that the same transaction is compared.
    """
    moving = {
        p: committed.evidence
        for p, committed in after.items()
        if committed is not None and committed.evidence is not None and committed != before[p]
    }
    return {
        p: (counts[p][0], evidence.ends["count"].offset)
        for p, evidence in moving.items()
        if "count" in evidence.ends_in(topics.ids)
    }


def _read_processed(settings: Settings, admin: Admin, ranges: Ranges) -> dict[int, ProcessedOffset | None]:
    """Return, by partition, how far the totals below the ends go."""
    topic = settings.count_topic
    entries, _ = read_backwards(
        reader_options(settings),
        admin,
        topic,
        ranges,
        extract=_processed_offset,
        is_enough=lambda _, items: any(items),
    )
    processed: dict[int, ProcessedOffset | None] = {}
    for partition, items in entries.items():
        of_partition = [item for item in items if isinstance(item, ProcessedOffset)]
        if items and not of_partition:
            where = f"{topic}, partition {partition},"
            raise Refused(f"{where} contains totals that no worker writes", START_OVER)
        processed[partition] = of_partition[-1] if of_partition else None
    return processed


def _processed_offset(record: StoredRecord) -> ProcessedOffset | bool:
    """Read the headers of a changelog record; False if it is not the last of its transaction."""
    if not has_processed_offset(record.headers):
        return False
    try:
        return read_processed_offset(record.headers) or False
    except ValueError as error:
        raise Refused(
            f"{record.topic}, partition {record.partition}, contains records that no worker writes: {error}",
            START_OVER,
        ) from error
