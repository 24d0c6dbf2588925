"""What is known about one input partition: its committed offset, its changelog and the logs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stream.core.evidence import COUNTED, CommittedOffset, Evidence, TopicIds
from stream.core.processed_offset import ProcessedOffset

SKIP = "anagram-stream offsets skip"


@dataclass(frozen=True, slots=True)
class PartitionFacts:
    """What is known about one input partition.

    Attributes:
        names: role -> name of the topic.
        topics: role -> current id of the topic.
        digest: the digest of the fold that will continue.
        committed: the group's committed offset; None if it has none.
        processed: the last processed offset in the changelog; None if it contains none.
        first: the first offset in the input log; `end` is the offset after the last one.
        output_ends: role -> the offset in the evidence if the log still contains the record before it;
            otherwise less, see `Sink.log_ends`.
        is_truncated: whether the input log was truncated below the committed offset and has grown again; only
            tools check this, because a worker detects it when it seeks.
        has_outcomes: whether the output topics contain results or dead letters of the partition; checked only
            if it has neither a committed offset nor totals.
    """

    names: Mapping[str, str]
    partition: int
    topics: TopicIds
    digest: str
    committed: CommittedOffset | None
    processed: ProcessedOffset | None
    first: int
    end: int
    output_ends: Mapping[str, int] = field(default_factory=dict)
    has_outcomes: bool = False
    is_truncated: bool = False

    @property
    def where(self) -> str:
        return f"{self.names['input']}, partition {self.partition}"

    @property
    def evidence(self) -> Evidence | None:
        """The evidence of the committed offset; None if another client committed it."""
        return self.committed.evidence if self.committed else None

    @property
    def is_of_earlier_version(self) -> bool:
        """Whether a version that wrote no evidence committed the offset."""
        return self.committed is not None and self.committed.metadata == COUNTED

    @property
    def skip(self) -> str:
        """The command that accepts a loss on this partition, without the offset to continue from."""
        return f"{SKIP} --partition {self.partition}"
