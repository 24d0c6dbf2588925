"""The evidence in the metadata of a committed offset: which topics and logs the offset belongs to.

Kafka stores a committed offset separately from the logs that it refers to, and each can change without the
other. So each transaction commits its offsets with the state of the logs at that moment, and a worker resumes
from an offset only if the logs still match (`resume.py`). Kafka allows 4,096 bytes of metadata
(`offset.metadata.max.bytes`); the evidence of a partition takes about 300.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from zlib import crc32

import orjson

from stream.core.records import Header
from stream.errors import LogsChanged

FORMAT = 1
COUNTED = "counted"  # the whole metadata that earlier versions wrote for a partition with totals
TOPICS_DELETED_HINT = (
    "run `anagram-stream topics create`, then `anagram-stream offsets show`: it shows what is lost and how "
    "to continue"
)
TOPICS_CHANGED_HINT = "run `anagram-stream offsets show`: it shows what is lost and how to continue"


class LogEnd(NamedTuple):
    """The end of a log as of a commit.

    Attributes:
        partition: the partition of the output topic.
        offset: the offset after the last record of the commit.
        checksum: CRC-32 of that record, because another record may take its offset after a truncation.
        leader_epoch: a leader epoch of the log at or before the commit; -1 if unknown. If the log has no
            later epoch, there was no election, and nothing was truncated.
    """

    partition: int
    offset: int
    checksum: int = 0
    leader_epoch: int = -1


class Appended(NamedTuple):
    """What one transaction appended to one log.

    Attributes:
        partition: the partition of the output topic.
        records: number of records.
        end: the offset after the last record.
        checksum: CRC-32 of the last record.
    """

    partition: int
    records: int
    end: int
    checksum: int = 0


TopicIds = Mapping[str, str]
"""Role (`input`, `result`, `count`, `dead-letter`) -> topic id. A recreated topic has a new one."""
LogEnds = Mapping[str, LogEnd]
"""Role of an output topic -> end of the log with the outcomes of an input partition."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a transaction knew when it committed an offset of an input partition.

    Attributes:
        offset: the committed offset itself; a different one means that the metadata was copied.
        topics: the ids of the four topics.
        digest: the digest of the fold.
        ends: the ends of the logs with the totals, results and dead letters of the input before `offset`.
    """

    offset: int
    topics: TopicIds
    digest: str
    ends: LogEnds = field(default_factory=dict)

    def ends_in(self, topics: TopicIds) -> LogEnds:
        """Return the ends of the logs whose topics are still the same."""
        return {role: end for role, end in self.ends.items() if self.topics.get(role) == topics.get(role)}

    def encode(self) -> str:
        """Return the metadata."""
        return orjson.dumps(
            {
                "anagram-stream": FORMAT,
                "offset": self.offset,
                "dictionary": self.digest,
                "topics": self.topics,
                "ends": {role: list(end) for role, end in self.ends.items()},
            }
        ).decode()


def read_evidence(metadata: str | None) -> Evidence | None:
    """Decode metadata; None if this version did not write it."""
    try:
        content = orjson.loads(metadata or "")
        if content["anagram-stream"] != FORMAT:
            return None
        ends = {str(role): LogEnd(*map(int, end)) for role, end in content["ends"].items()}
        topics = {str(role): str(topic_id) for role, topic_id in content["topics"].items()}
        return Evidence(int(content["offset"]), topics, str(content["dictionary"]), ends)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError, IndexError):
        return None


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """A committed offset of the input.

    Attributes:
        metadata: encoded `Evidence`, or whatever another client wrote.
        leader_epoch: the leader epoch of the last record before the offset; -1 if unknown. A consumer that
            seeks with it detects whether the log was truncated meanwhile (KIP-320).
    """

    offset: int
    metadata: str = ""
    leader_epoch: int = -1

    @property
    def evidence(self) -> Evidence | None:
        """The evidence of this commit; None if this version did not write it."""
        evidence = read_evidence(self.metadata)
        return evidence if evidence is not None and evidence.offset == self.offset else None


def advance_ends(ends: LogEnds, appended: Mapping[str, Appended]) -> LogEnds:
    """Return the ends after a transaction appended records.

    Offsets in a log never decrease. So if the new records do not fit after the known end, the log lost
    records (an unclean leader election), or belongs to a new topic of the same name.

    Raises:
        LogsChanged: a log is shorter than it was.
    """
    advanced = {}
    for role, new in appended.items():
        known = ends.get(role)
        if known is None or known.partition != new.partition:
            known = LogEnd(new.partition, 0)
        if new.end - new.records < known.offset:
            raise LogsChanged(
                f"{role} topic, partition {new.partition}: the new records end at offset {new.end}, but "
                f"the log had already reached {known.offset}: it was truncated, or the topic was deleted "
                "and created again. This batch is not committed",
                TOPICS_CHANGED_HINT,
            )
        advanced[role] = LogEnd(new.partition, new.end, new.checksum, known.leader_epoch)
    return {**ends, **advanced}


def check_held(ends: LogEnds, held: LogEnds) -> None:
    """Check that the logs still contain everything up to these ends; `held` is how far they do.

    Raises:
        LogsChanged: a log was truncated.
    """
    for role, known in ends.items():
        if held[role].offset < known.offset:
            raise LogsChanged(
                f"{role} topic, partition {known.partition}: the log no longer contains the committed "
                f"record before offset {known.offset}: it was truncated",
                TOPICS_CHANGED_HINT,
            )


def checksum(key: bytes | None, value: bytes | None, headers: Sequence[Header]) -> int:
    """Return the checksum of a record. No two records of this application are equal: each names its input."""
    checksum = crc32(value or b"", crc32(key or b""))
    for name, data in headers:
        checksum = crc32(data or b"", crc32(name.encode(), checksum))
    return checksum
