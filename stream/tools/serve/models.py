"""The bodies of requests and responses. `schemas/openapi.v1.json` is generated from them.

A later version may add fields to a response; it changes or removes none under the path `/v1`.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Offset = Annotated[int, Field(ge=0)]


class Freshness(BaseModel):
    """What a response covers."""

    age_ms: int | None = Field(
        description="Everything that was committed this long ago is covered; null until the end of the "
        "topics was reached for the first time."
    )
    offsets: dict[str, dict[int, Offset]] = Field(
        description="Topic -> partition -> everything before this offset is covered."
    )


class SignatureTotal(BaseModel):
    """The number of counted words with this signature, over all blobs and partitions."""

    signature: str
    total: Annotated[int, Field(ge=0)]
    words: list[str] = Field(description="The words of the dictionary that have this signature.")


class WordTotal(SignatureTotal):
    """How often a word and its anagrams were counted."""

    word: str = Field(description="The word as it is counted: in lower case, letters and digits only.")
    freshness: Freshness


class Top(BaseModel):
    """The largest totals."""

    top: list[SignatureTotal]
    freshness: Freshness


class Position(BaseModel):
    """The position of a record."""

    topic: str
    partition: Annotated[int, Field(ge=0)]
    offset: Offset


class Result(BaseModel):
    """The counts of one blob: `schemas/anagram-result.v1.json`."""

    model_config = ConfigDict(extra="allow")

    blob_id: str
    anagram_counts: dict[str, int]
    words: int
    source: Position


class DeadLetter(BaseModel):
    """Why a record was rejected. `anagram-stream dead-letters show` shows the complete dead letter."""

    model_config = ConfigDict(extra="allow")

    blob_id: str
    reason: str | None
    stage: str | None
    attempts: int | None
    failed_at: str | None
    message: str | None
    value_bytes: int | None
    fingerprint: str
    source: dict[str, Any]


class Outcome(BaseModel):
    """The outcome of one blob: a result or a dead letter."""

    outcome: Literal["result", "dead-letter"]
    position: Position = Field(description="The position of the result or dead letter.")
    timestamp_ms: int = Field(description="The timestamp of the input record, in ms since 1970.")
    result: Result | None = None
    dead_letter: DeadLetter | None = None


class OutcomeOfBlob(Outcome):
    """The outcome of one blob, and what the response covers."""

    freshness: Freshness


class Submission(BaseModel):
    """A text to count."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)

    text: str
    id: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        None, description="The id of the blob; by default a new UUID."
    )


class Accepted(BaseModel):
    """A blob that is in the input topic, and will be counted once."""

    id: str
    input: Position = Field(description="The position of the blob.")


class PartitionStatus(BaseModel):
    """The lag of the group on one partition of the input."""

    partition: int
    committed: Offset | None
    end: Offset = Field(description="The last stable offset: the end of what the group can read.")
    lag: int = Field(description="Offsets up to the end; 0 if no record is left.")
    age_s: float | None = Field(description="The age of the oldest remaining record.")
    member: str | None = Field(description="The worker that owns the partition; null if none does.")


class GroupStatus(BaseModel):
    """The consumer group as its coordinator describes it."""

    id: str
    state: str
    protocol: str
    members: int


class WorkerStatus(BaseModel):
    """The readiness that a worker reports."""

    url: str
    ready: bool | None = Field(description="null if it does not respond.")
    reasons: list[str] = Field(description="Why it is not ready, or does not respond.")


class ReasonCount(BaseModel):
    """Dead letters by reason, as far as they were read."""

    reason: str
    number: int


class Status(BaseModel):
    """The progress of the workers and of this view."""

    version: str
    group: GroupStatus | None = Field(description="null if it is unknown; then `unknown` states why.")
    partitions: list[PartitionStatus]
    unknown: str | None = Field(description="Why group and partitions are unknown.")
    workers: list[WorkerStatus]
    results: int
    dead_letters: list[ReasonCount]
    words: int = Field(description="Words of the dictionary that were counted: the sum of all totals.")
    signatures: int
    dictionary_differs: bool = Field(
        description="Whether the workers use a different dictionary than the one that `words` come from."
    )
    submit: bool = Field(description="Whether `POST /v1/blobs` is enabled.")
    freshness: Freshness


class Problem(BaseModel):
    """An error, in the form of RFC 9457."""

    model_config = ConfigDict(extra="allow")

    type: str = Field("about:blank", description="Always about:blank; the status identifies the error.")
    title: str
    status: int
    detail: str
