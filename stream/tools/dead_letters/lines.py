"""The JSON line of an exported dead letter, for repair by hand.

Bytes are preserved: a key, value or header value is text if it is UTF-8, otherwise base64 in a field whose
name ends with `_base64`. If both fields are missing, it is null.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stream.core.records import Header
from stream.errors import Misconfigured
from stream.tools.kafka.topic_reader import StoredRecord

OFFSET_MAX = 2**63 - 1
Offset = Annotated[int, Field(ge=0, le=OFFSET_MAX)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class ExportedHeader(_Model):
    """A header of a producer."""

    name: str
    value: str | None = None
    value_base64: str | None = None

    @model_validator(mode="after")
    def _decodes(self) -> Self:
        _decoded(self.value, self.value_base64, "value")
        return self

    @property
    def header(self) -> Header:
        return self.name, _decoded(self.value, self.value_base64, "value")


class DeadLetterPosition(_Model):
    """Position of the dead letter. The id distinguishes the topic from a later one of the same name."""

    topic_id: str
    partition: Offset
    offset: Offset


class InputPosition(_Model):
    """Position of its record, which is sent to the same topic and partition."""

    topic: str
    partition: Offset
    offset: Offset


class ExportedLetter(_Model):
    """A dead letter.

    Attributes:
        replays: how many times its record was replayed before.
        left_out: why the record is incomplete or must not be sent; an import leaves such a line out.
    """

    dead_letter: DeadLetterPosition
    input: InputPosition
    reason: str
    message: str
    failed_at: str
    replays: Offset = 0
    left_out: str | None = None
    timestamp_ms: Annotated[int, Field(ge=-OFFSET_MAX - 1, le=OFFSET_MAX)]
    headers: Sequence[ExportedHeader] = ()
    key: str | None = None
    key_base64: str | None = None
    value: str | None = None
    value_base64: str | None = None

    @model_validator(mode="after")
    def _decodes(self) -> Self:
        _decoded(self.key, self.key_base64, "key")
        _decoded(self.value, self.value_base64, "value")
        return self

    @property
    def key_bytes(self) -> bytes | None:
        return _decoded(self.key, self.key_base64, "key")

    @property
    def value_bytes(self) -> bytes | None:
        return _decoded(self.value, self.value_base64, "value")


def content_fields(name: str, content: bytes | None) -> dict[str, str]:
    """Return the field for bytes: text or base64; no field for None."""
    if content is None:
        return {}
    try:
        return {name: content.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": b64encode(content).decode()}


def content_of(record: StoredRecord) -> dict[str, Any]:
    """Return key, value, headers and timestamp of a record as fields of a line."""
    return {
        **content_fields("key", record.key),
        **content_fields("value", record.value),
        "headers": [exported_header(each).model_dump(exclude_none=True) for each in record.headers],
        "timestamp_ms": record.timestamp_ms,
    }


def exported_header(header: Header) -> ExportedHeader:
    """Return the header in the form of a line."""
    name, value = header
    return ExportedHeader(name=name, **content_fields("value", value))


def encode_letter(letter: ExportedLetter) -> str:
    """Return the line without a line break."""
    return letter.model_dump_json(exclude_none=True)


def decode_letter(line: bytes, origin: str) -> ExportedLetter:
    """Read a line; `origin` names its file and number.

    Raises:
        Misconfigured: it is not the line of an exported dead letter.
    """
    try:
        return ExportedLetter.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise Misconfigured(
            f"{origin}: {field + ': ' if field else ''}{first['msg']}",
            "correct the line; its fields are those that `anagram-stream dead-letters export` writes",
        ) from error


def _decoded(text: str | None, base64: str | None, name: str) -> bytes | None:
    if base64 is None:
        return None if text is None else text.encode()
    if text is not None:
        raise ValueError(f"has both {name} and {name}_base64; remove one of them")
    try:
        return b64decode(base64, validate=True)
    except ValueError as error:
        raise ValueError(f"{name}_base64 is not base64: {error}") from error
