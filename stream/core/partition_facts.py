"""What is known of one input partition: its committed offset, its changelog and the logs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stream.core.evidence import COUNTED, CommittedOffset, Evidence, TopicIds
from stream.core.processed_offset import ProcessedOffset

SKIP = "anagram-stream offsets skip"


@dataclass(frozen=True, slots=True)
class PartitionFacts:
    """What is known of one input partition.

    Attributes:
        names: role -> name of the topic.
        topics: role -> id of the topic as it is now.
        digest: of the fold that is to continue.
        committed: the group's committed offset; None if it has none.
        processed: the last headers in the changelog; None if it holds none.
        first: the input log holds the offsets from `first` to before `end`.
        output_ends: role -> the offset of the evidence if the log still holds the record before it; less if
            it does not, see `Sink.log_ends`.
        is_truncated: whether the input log was truncated below the committed offset and has grown again; only
            tools ask, since a worker finds it out when it seeks.
        has_outcomes: whether the output topics hold results or dead letters of the partition; asked only if
            there is neither a committed offset nor a total.
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
        """The evidence of the committed offset; None if somebody else committed it."""
        return self.committed.evidence if self.committed else None

    @property
    def is_of_earlier_version(self) -> bool:
        """Whether a version that wrote no evidence committed the offset."""
        return self.committed is not None and self.committed.metadata == COUNTED

    @property
    def skip(self) -> str:
        """The command that accepts a loss on this partition, without the offset to go on from."""
        return f"{SKIP} --partition {self.partition}"
