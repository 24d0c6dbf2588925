"""The records in the topics: frozen, strict, versioned models. `schemas/` is generated from them."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

Header = tuple[str, bytes | None]

RESULT_SCHEMA = "anagram-result/1"


class _Open(BaseModel):
    """A record that readers must accept with fields that a later version adds."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class TextBlob(BaseModel):
    """The JSON form of a record of the input topic; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", hide_input_in_errors=True)

    id: str | None = Field(
        None, description="The id of the blob; without it, the key of the record is the id."
    )
    text: str = Field(description="The text whose words are counted.")


class SourceOffset(_Open):
    """The location of an input record."""

    topic: str
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]


class AnagramResult(_Open):
    """The value of a record of the result topic: the counts of one input record."""

    blob_id: str = Field(
        description="The id in the envelope, else the key of the record, else the id of the CloudEvent, else "
        "topic-partition-offset."
    )
    anagram_counts: dict[str, Annotated[int, Field(ge=1)]] = Field(
        description="Dictionary word -> number of words in the text that have its signature."
    )
    words: Annotated[int, Field(ge=0)] = Field(
        description="Number of words in the text, in the dictionary or not."
    )
    source: SourceOffset = Field(description="The input record; this is its only result.")


class SignatureCount(_Open):
    """A record of the count topic: the running total of one signature on one partition."""

    signature: Annotated[str, Field(pattern=r"^[a-z]+$")] = Field(description="The key of the record.")
    total: Annotated[str, Field(pattern=r"^[1-9][0-9]*$")] = Field(
        description="The value of the record, in decimal ASCII."
    )


class DeadLetterHeaders(_Open):
    """The headers that a dead letter has in addition to those of its record, all in plain text."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", populate_by_name=True)

    topic: str = Field(alias="__streams.errors.topic")
    partition: str = Field(alias="__streams.errors.partition")
    offset: str = Field(alias="__streams.errors.offset")
    exception: str = Field(alias="__streams.errors.exception")
    message: str = Field(alias="__streams.errors.message")
    stacktrace: str = Field(alias="__streams.errors.stacktrace")
    reason: str = Field(alias="dead-letter.reason")
    stage: str = Field(alias="dead-letter.stage")
    attempts: str = Field(alias="dead-letter.attempts")
    group: str = Field(alias="dead-letter.group")
    failed_at: str = Field(alias="dead-letter.failed-at")
    version: str = Field(alias="dead-letter.version")


UNREADABLE_HEADERS: Sequence[Header] = (("dead-letter.unreadable", None),)
"""Replaces headers that the client library could not decode."""


class InputRecord(NamedTuple):
    """A record as read from the input topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()
    timestamp_ms: int | None = None


class OutputRecord(NamedTuple):
    """A record to produce: a result or a dead letter, on the partition of its input."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()
    timestamp_ms: int | None = None


def record_bytes(key: bytes | None, value: bytes | None, headers: Sequence[Header]) -> int:
    """Return an upper bound of a record's size in the broker; the size of its framing is rounded up."""
    return len(key or b"") + len(value or b"") + framing_bytes(headers)


def framing_bytes(headers: Sequence[Header]) -> int:
    """Return an upper bound of the size of a record's headers and framing."""
    return sum(len(name.encode()) + len(data or b"") + 10 for name, data in headers) + 128
