"""Reads CloudEvents 1.0 in both content modes of the Kafka protocol binding. Pure.

binary        the value is the data, `content-type` is the type of the data, attributes are headers `ce_…`
structured    `content-type: application/cloudevents+json`, the value is the event with its data, as JSON
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from stream.core.records import Header, TextBlob

STRUCTURED = "application/cloudevents+json"
_ID = "ce_id"
_JSON = ("application/json", "text/json")

_Attribute = Annotated[str, Field(min_length=1)]


class CloudEvent(BaseModel):
    """A CloudEvent in the structured content mode; extension attributes are ignored."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", hide_input_in_errors=True)

    specversion: Annotated[str, Field(pattern=r"^1\.\d+$")]
    id: _Attribute
    source: _Attribute
    type: _Attribute
    datacontenttype: _Attribute = "application/json"
    data: Any = None
    data_base64: str | None = None


def event_id(headers: Sequence[Header]) -> str:
    """Return the id of a CloudEvent in the binary content mode; empty for any other record."""
    return next((_text(value) for name, value in reversed(headers) if name.lower() == _ID), "")


def without_event_id(headers: Sequence[Header]) -> Sequence[Header]:
    """Return the headers without those that `event_id` reads."""
    if all(name.lower() != _ID for name, _ in headers):
        return headers  # the same object: UNREADABLE_HEADERS is compared by identity
    return [header for header in headers if header[0].lower() != _ID]


def read_structured(value: bytes) -> tuple[str, str | None, bytes]:
    """Return the id of the event, the id in its envelope if any, and the text in UTF-8.

    The data is a text if its type is `text/…`, and the envelope `{"id"?, "text"}` if its type is JSON.

    Raises:
        ValidationError: the value is not JSON or not a CloudEvent, or its data is not an envelope.
        UnsupportedData: the type of the data is not supported.
    """
    event = CloudEvent.model_validate_json(value)
    media_type = event.datacontenttype.partition(";")[0].strip().lower()
    if event.data_base64 is not None:
        try:
            data = base64.b64decode(event.data_base64, validate=True)
        except binascii.Error as error:
            raise UnsupportedData("data_base64 is not valid base64") from error
    elif media_type in _JSON:
        data = orjson.dumps(event.data)
    elif isinstance(event.data, str):
        data = event.data.encode()
    else:
        raise UnsupportedData(f"the data of type {media_type} is not a string")
    if media_type in _JSON:
        blob = TextBlob.model_validate_json(data)
        return event.id, blob.id, blob.text.encode()
    if media_type.startswith("text/"):
        return event.id, None, data
    raise UnsupportedData(f"the data has the type {media_type}, which is neither text nor an envelope")


class UnsupportedData(ValueError):
    """The data of an event cannot be a blob."""


def _text(value: bytes | None) -> str:
    try:
        return (value or b"").decode()
    except UnicodeDecodeError:
        return ""
