"""The evidence in the metadata of a committed offset: which topics and logs the offset belongs to.

Kafka keeps a committed offset apart from the logs that it refers to, and anybody may change either. So each
transaction commits its offsets with the state of the logs at that moment, and a worker resumes from an
offset only if the logs still agree (`resume.py`). Kafka allows 4,096 bytes of metadata
(`offset.metadata.max.bytes`); the evidence of a partition has some 300.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from stream.errors import LogsChanged

FORMAT = 1
COUNTED = "counted"  # the whole metadata that earlier versions wrote for a partition with totals
TOPICS_CHANGED_HINT = "restart the worker: it says what is lost, and the command that goes on"


class LogEnd(NamedTuple):
    """The offset after the last record of a log that belongs to a commit."""

    partition: int
    offset: int


class Appended(NamedTuple):
    """What one transaction appended to one log: the number of records, and the offset after the last one."""

    partition: int
    records: int
    end: int


TopicIds = Mapping[str, str]
"""Role (`input`, `result`, `count`, `dead-letter`) -> topic id. A topic that is created again has another."""
LogEnds = Mapping[str, LogEnd]
"""Role of an output topic -> end of the log that the outcomes of an input partition are in."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a transaction knew when it committed an offset of an input partition.

    Attributes:
        offset: the committed offset itself; another one means that somebody copied the metadata.
        topics: the ids of the four topics.
        digest: of the fold.
        ends: the ends of the logs that hold totals, results and dead letters of the input before `offset`.
    """

    offset: int
    topics: TopicIds
    digest: str
    ends: LogEnds = field(default_factory=dict)

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
        ends = {role: LogEnd(int(partition), int(end)) for role, (partition, end) in content["ends"].items()}
        topics = {str(role): str(topic_id) for role, topic_id in content["topics"].items()}
        return Evidence(int(content["offset"]), topics, str(content["dictionary"]), ends)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError, IndexError):
        return None


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """A committed offset of the input.

    Attributes:
        metadata: encoded `Evidence`, or what somebody else wrote.
        leader_epoch: of the last record before the offset; -1 if unknown. A consumer that seeks with it
            detects that the log was truncated meanwhile (KIP-320).
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

    Offsets in a log never decrease. So if there is no room for the new records behind the known end, the log
    lost records (an unclean leader election), or belongs to a new topic of the same name.

    Raises:
        LogsChanged: a log is shorter than it was.
    """
    for role, new in appended.items():
        known = ends.get(role)
        if known is None or known.partition != new.partition:
            known = LogEnd(new.partition, 0)
        if new.end - new.records < known.offset:
            raise LogsChanged(
                f"{role} topic, partition {new.partition}: {new.records} new records end at offset "
                f"{new.end}, but the log went up to {known.offset} before: it was truncated, or the topic "
                "was deleted and created again. Nothing of this batch is committed",
                TOPICS_CHANGED_HINT,
            )
    return {**ends, **{role: LogEnd(new.partition, new.end) for role, new in appended.items()}}
