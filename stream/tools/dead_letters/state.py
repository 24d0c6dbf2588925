"""Determines what was replayed, from the dead-letter topic itself and the offsets of the replay group.

The records that list replayed dead letters are authoritative (`core/replay.py`). The committed offset of a
partition only marks the first dead letter that was not replayed, so that a replay skips everything before it.
An offset that another client committed, or one for a deleted topic of the same name, is ignored.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stream.config import Settings
from stream.core.evidence import CommittedOffset, LogEnds
from stream.core.replay import OffsetRanges, is_by, read_replayed
from stream.errors import Refused, Retriable
from stream.kafka.clients import Admin, Options, make_admin, reader_options
from stream.kafka.offsets import Offsets, stable_commits
from stream.kafka.output_logs import OutputLogs
from stream.kafka.topics import Topics, names
from stream.tools.kafka.backwards import decided_ranges
from stream.tools.kafka.topic_reader import read_topic

COMMITTED_TIMEOUT_S = 5.0
DECIDED_S_MAX = 5.0  # longer than a transaction of a running worker
RETRY_S, SAID_S = 0.5, 8.0
TRANSACTION_S_MAX = 15.0  # after its timeout, for the broker to abort the transaction of a killed worker


@dataclass(frozen=True, slots=True)
class ReplayState:
    """What was replayed up to `ends`.

    Attributes:
        first: partition -> the first offset of the log.
        start: partition -> the offset before which every dead letter was replayed, or is deleted.
        ends: partition -> the end of the log; no transaction below it is open.
        replayed: partition -> offsets of dead letters at `start` or later that were replayed.
        log_ends: partition -> the last record that lists replayed dead letters, as in `Evidence`.
    """

    first: Mapping[int, int]
    start: Mapping[int, int]
    ends: Mapping[int, int]
    replayed: Mapping[int, OffsetRanges]
    log_ends: Mapping[int, LogEnds]

    def has(self, partition: int, offset: int) -> bool:
        """Whether the dead letter was replayed."""
        return offset < self.start[partition] or offset in self.replayed[partition]


def replay_group(settings: Settings) -> str:
    """Return the consumer group whose offsets mark how far dead letters were replayed."""
    return f"{settings.group_id}-replay"


def group_options(settings: Settings) -> Options:
    """Return the options of a consumer of the replay group that assigns its partitions itself."""
    return {**reader_options(settings), "group.id": replay_group(settings)}


def read_state(settings: Settings, admin: Admin, topics: Topics) -> ReplayState:
    """Read what was replayed.

    Raises:
        Retriable: the broker is unavailable, or a transaction is open.
        Refused: the dead-letter topic lost records that listed replayed dead letters.
    """
    topic, partitions = topics.dead_letter.name, range(topics.dead_letter.partitions)
    commits = stable_commits(group_options(settings), topic, partitions, COMMITTED_TIMEOUT_S)
    try:
        ranges = decided_ranges(admin, topic, partitions, DECIDED_S_MAX)
    except Refused as why:  # the transaction of a killed worker ends within its timeout
        raise Retriable(str(why)) from why
    ends = {p: end for p, (_, end) in ranges.items()}
    ours = {p: each for p, each in commits.items() if each is not None and _is_of(each, topics)}
    log_ends = _held_ends(settings, ours, topics)
    done = {p: each.offset for p, each in ours.items() if _is_of_input(each, topics)}
    start = {p: min(ends[p], max(first, done.get(p, 0))) for p, (first, _) in ranges.items()}
    source = settings.input_topic, settings.group_id, topics.dead_letter.id
    listed: dict[int, list[tuple[int, int]]] = {p: [] for p in partitions}
    for record in read_topic(group_options(settings), admin, topic, start=dict(start), ends=ends):
        replayed = read_replayed(record.headers)
        if replayed is not None and is_by(record.headers, *source):
            listed[record.partition] += replayed
    first = {p: each for p, (each, _) in ranges.items()}
    return ReplayState(first, start, ends, {p: OffsetRanges(each) for p, each in listed.items()}, log_ends)


def wait_for_state(
    settings: Settings, admin: Admin, topics: Topics, say: Callable[[str], None]
) -> ReplayState:
    """Read what was replayed, once the transaction of a killed replay has ended.

    `say` receives a sentence if that takes long.

    Raises:
        Refused: as for `read_state`, or the transaction does not end.
    """
    began_at, said_at = time.monotonic(), 0.0
    while True:
        try:
            return read_state(settings, admin, topics)
        except Retriable as why:
            now = time.monotonic()
            if now - began_at > settings.transaction_timeout_ms / 1000 + TRANSACTION_S_MAX:
                raise Refused(
                    f"cannot determine which dead letters were replayed: {why}",
                    "run the command again; if that fails too, run: anagram-stream doctor",
                ) from why
            if now - said_at > SAID_S:
                say(f"waiting to determine which dead letters were replayed: {why}")
                said_at = now
            time.sleep(RETRY_S)


def _is_of(committed: CommittedOffset, topics: Topics) -> bool:
    """Whether a replay committed this offset for this dead-letter topic."""
    evidence = committed.evidence
    return evidence is not None and evidence.topics.get("dead-letter") == topics.dead_letter.id


def _is_of_input(committed: CommittedOffset, topics: Topics) -> bool:
    """Whether the replay was for this input topic: it sends no dead letters of another one."""
    evidence = committed.evidence
    return evidence is not None and evidence.topics.get("input") == topics.input.id


def _held_ends(
    settings: Settings, commits: Mapping[int, CommittedOffset], topics: Topics
) -> dict[int, LogEnds]:
    """Return the ends of the lists that replays wrote, with the current leader epochs.

    Raises:
        Refused: the log lost some of them.
    """
    known = {p: evidence.ends for p, each in commits.items() if (evidence := each.evidence) is not None}
    logs = OutputLogs(group_options(settings), Offsets(lambda: make_admin(settings)), names(settings))
    held = logs.ends(known)
    for partition, ends in known.items():
        for role, end in ends.items():
            if held[partition][role].offset < end.offset:
                place = f"{topics.dead_letter.name}, partition {partition}"
                raise Refused(
                    f"{place}: the log lost records of a replay before offset {end.offset} (an unclean "
                    "leader election), so it is unknown which dead letters were replayed. Nothing was sent",
                    f"start no other replay; delete the consumer group {replay_group(settings)}, run "
                    "`anagram-stream dead-letters export`, remove the lines of dead letters that have a "
                    "result, and import the rest",
                )
    return held
