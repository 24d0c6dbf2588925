"""Decodes input records and encodes results. Pure, so that both can be tested and fuzzed."""

import re
from collections.abc import Sequence
from itertools import repeat
from typing import Literal, NamedTuple

import orjson
from pydantic import ValidationError

from stream.core.cloud_events import STRUCTURED, UnsupportedData, event_id, read_structured
from stream.core.columns import InputRecords, OutputRecords
from stream.core.records import (
    RESULT_SCHEMA,
    UNREADABLE_HEADERS,
    Header,
    InputRecord,
    OutputRecord,
    TextBlob,
    framing_bytes,
)
from stream.core.text import BOM, looks_like_utf16, why_not_utf8
from stream.errors import Reason, Rejected

_JSON, _TEXT = "application/json", "text/plain"
# Names of the header, without `-` and `_`: `content-type` (CloudEvents), `contentType` (Spring).
_CONTENT_TYPE = "contenttype"
_ENVELOPE_TYPES = frozenset({_JSON, "text/json"})
_UNSPECIFIC_TYPES = frozenset({"", "application/octet-stream"})  # they do not describe the value
_SHOWN_CHARS_MAX = 80
_REGISTRY_BYTES = 5  # the magic byte 0 and the id of a schema, big-endian
_PASSED_ON = ("traceparent", "tracestate")  # W3C Trace Context
_OWN_HEADERS: Sequence[Header] = [("content-type", _JSON.encode()), ("schema", RESULT_SCHEMA.encode())]
_TEXT_LIMIT = re.compile(r"the text has \d+ bytes, the limit is (\d{1,18})")
_OWN_FRAMING = framing_bytes(_OWN_HEADERS)


class Blob(NamedTuple):
    """A decoded input record."""

    blob_id: str
    utf8: bytes

    @property
    def text(self) -> str:
        return self.utf8.decode()


def decode_blob(record: InputRecord, input_format: Literal["text", "json"], text_bytes_max: int) -> Blob:
    """Decode an input record: UTF-8 text, the JSON envelope `{"id"?, "text"}`, or a CloudEvent with either.

    The id is that of the envelope, else the key, else the id of the CloudEvent, else the location.

    Raises:
        Rejected: the value is null, not UTF-8, not JSON or not an envelope; its content type is not
            supported; it begins with a schema id; or the text is too long.
    """
    if record.headers is UNREADABLE_HEADERS:
        raise Rejected(
            Reason.BAD_HEADERS, "decode", "the name of a header is not UTF-8, so the headers cannot be read"
        )
    value = record.value
    if value is None:
        raise Rejected(Reason.NULL_VALUE, "decode", "the record has no value")
    if value[:2] == b"\0\0":
        _check_no_schema_id(value)
    form = _form(record.headers) if record.headers else _TEXT
    if form == STRUCTURED:
        own_id, blob_id, utf8 = _cloud_event(value.removeprefix(BOM))
        _limit(len(utf8), text_bytes_max)
        return Blob(blob_id or _id_of(record, own_id), utf8)
    if input_format == "json" or form == _JSON:
        blob_id, text = _envelope(value.removeprefix(BOM))
        utf8 = text.encode()
        _limit(len(utf8), text_bytes_max)
        return Blob(blob_id or _id_of(record), utf8)
    _limit(len(value), text_bytes_max)
    _utf8(value)
    return Blob(_id_of(record), value)


class ResultEncoder:
    """Encodes results for the partition of their input, as JSON that matches `records.AnagramResult`."""

    def __init__(self, topic: str, result_bytes_max: int, record_bytes_max: int) -> None:
        """`record_bytes_max` is the size of the largest record that the topic accepts, headers included."""
        self._topic = topic
        self._result_bytes_max = result_bytes_max
        self._record_bytes_max = record_bytes_max

    def encode(self, record: InputRecord, blob_id: str, counts_json: bytes, words: int) -> OutputRecord:
        """Encode the result of one record.

        Raises:
            Rejected: the JSON exceeds the limit of a result, or the record exceeds the limit of the topic.
        """
        source = self._source(record)
        value = b'{"blob_id":%b,"anagram_counts":%b,"words":%d,"source":%b%d}}' % (
            orjson.dumps(blob_id),
            counts_json,
            words,
            source,
            record.offset,
        )
        key = blob_id.encode()
        headers = _OWN_HEADERS
        if record.headers:
            headers = [*_OWN_HEADERS, *(header for header in record.headers if header[0] in _PASSED_ON)]
        whole = len(key) + len(value) + (_OWN_FRAMING if headers is _OWN_HEADERS else framing_bytes(headers))
        if len(value) > self._result_bytes_max or whole > self._record_bytes_max:
            limit = min(self._result_bytes_max, self._record_bytes_max - (whole - len(value)))
            raise Rejected(
                Reason.RESULT_TOO_LARGE,
                "encode",
                f"the result has {len(value)} bytes, the limit is {max(0, limit)}",
            )
        return OutputRecord(self._topic, record.partition, key, value, headers, record.timestamp_ms)

    def encode_ordinary(
        self, records: InputRecords, ids: Sequence[str], entries: Sequence[bytes], words: Sequence[int]
    ) -> OutputRecords | None:
        """Encode the results of one or more records without headers, column by column.

        `entries`: see `engine.TextCounts`.

        Returns:
            The results, or None if one may be too large.
        """
        source = self._source(records[0])
        ids_json = orjson.dumps(ids)[2:-2].split(b'","')
        if any(b"\\" in quoted for quoted in ids_json):  # an id contains a quote, perhaps next to a comma
            ids_json = [orjson.dumps(blob_id)[1:-1] for blob_id in ids]
        columns = zip(
            repeat(b'{"blob_id":"'), ids_json,
            repeat(b'","anagram_counts":{'), entries,
            repeat(b'},"words":'), orjson.dumps(words)[1:-1].split(b","),
            repeat(b',"source":' + source), orjson.dumps(records.offsets)[1:-1].split(b","), repeat(b"}}"),
        )  # fmt: skip
        values, keys = list(map(b"".join, columns)), list(map(str.encode, ids))
        longest = max(map(len, values))
        whole = longest + max(map(len, keys)) + _OWN_FRAMING
        if longest > self._result_bytes_max or whole > self._record_bytes_max:
            return None
        headers = [_OWN_HEADERS] * len(values)
        return OutputRecords(
            self._topic, records.partition, [*keys], [*values], headers, records.timestamps_ms
        )

    def _source(self, record: InputRecord) -> bytes:
        """Return the part of the JSON that is the same for all records of a partition."""
        return b'{"topic":%b,"partition":%d,"offset":' % (orjson.dumps(record.topic), record.partition)


def _form(headers: Sequence[Header]) -> str:
    """Return the form of the value according to its last content type: `_TEXT`, `_JSON` or `STRUCTURED`.

    Raises:
        Rejected: the content type is not supported. Markup in the value would be counted as words.
    """
    for name, value in reversed(headers):
        if name.lower().replace("-", "").replace("_", "") != _CONTENT_TYPE:
            continue
        content_type = (
            (value or b"").decode("ascii", "backslashreplace").strip().strip('"')
        )  # Spring quotes it
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type in _ENVELOPE_TYPES:
            return _JSON
        if media_type == STRUCTURED:
            return STRUCTURED
        if media_type in _UNSPECIFIC_TYPES or media_type.startswith("text/"):
            return _TEXT
        raise Rejected(
            Reason.CONTENT_TYPE,
            "decode",
            f"the header {name}: {content_type[:_SHOWN_CHARS_MAX]} names neither text (text/plain) "
            f'nor an envelope {{"text": ...}} ({_JSON}) nor a CloudEvent ({STRUCTURED})',
        )
    return _TEXT


def is_structured_event(headers: Sequence[Header]) -> bool:
    """Whether the content type names a CloudEvent in the structured mode."""
    try:
        return _form(headers) == STRUCTURED
    except Rejected:
        return False


def _check_no_schema_id(value: bytes) -> None:
    """Reject a value from a Schema Registry serializer: ids are below 2^24, so it starts with two zeros.

    The value, field names included, would be counted as text, because zero bytes are dropped.
    """
    if len(value) >= _REGISTRY_BYTES and value[:4] != b"\0\0\xfe\xff":  # the mark of UTF-32
        schema_id = int.from_bytes(value[1:_REGISTRY_BYTES])
        raise Rejected(
            Reason.SCHEMA_REGISTRY,
            "decode",
            f"the value begins with a zero byte and a schema id ({schema_id}), as written by Schema Registry "
            "serializers: send plain text (StringSerializer), or JSON without the prefix",
        )


def _cloud_event(value: bytes) -> tuple[str, str | None, bytes]:
    """Return the id of the event, the id in its envelope, and the text."""
    try:
        own_id, blob_id, utf8 = read_structured(value)
    except UnsupportedData as error:
        raise Rejected(Reason.WRONG_SHAPE, "decode", str(error)[: 2 * _SHOWN_CHARS_MAX]) from error
    except ValidationError as error:
        raise _invalid(error, value) from error
    _utf8(utf8)
    return own_id, blob_id, utf8


def _envelope(value: bytes) -> tuple[str | None, str]:
    """Return id and text. Only a wrong envelope is passed to the model, whose error explains it."""
    try:
        envelope = orjson.loads(value)
    except orjson.JSONDecodeError:
        envelope = None
    if type(envelope) is dict and type(text := envelope.get("text")) is str:
        blob_id = envelope.get("id")
        if blob_id is None or type(blob_id) is str:
            return blob_id, text
    blob = _validated(value)
    return blob.id, blob.text


def _validated(value: bytes) -> TextBlob:
    _utf8(value)
    try:
        return TextBlob.model_validate_json(value)
    except ValidationError as error:
        raise _invalid(error, value) from error


def _invalid(error: ValidationError, value: bytes) -> Rejected:
    first = error.errors(include_input=False, include_url=False)[0]
    reason = Reason.BAD_JSON if first["type"] == "json_invalid" else Reason.WRONG_SHAPE
    location = ".".join(str(part) for part in first["loc"])
    detail = f"{location}: {first['msg']}" if location else first["msg"]
    if looks_like_utf16(value):  # ASCII text in UTF-16 is valid UTF-8, too
        detail += ": the value looks like UTF-16"
    return Rejected(reason, "decode", detail)


def _utf8(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Rejected(Reason.UNDECODABLE, "decode", why_not_utf8(value, error.start)) from error


def read_text_limit(message: str) -> int | None:
    """Return the limit in a message of `Reason.TEXT_TOO_LARGE`; None for any other message."""
    named = _TEXT_LIMIT.fullmatch(message)
    return int(named[1]) if named else None


def _limit(size: int, bytes_max: int) -> None:
    if size > bytes_max:
        raise Rejected(
            Reason.TEXT_TOO_LARGE, "decode", f"the text has {size} bytes, the limit is {bytes_max}"
        )


def _id_of(record: InputRecord, own_id: str = "") -> str:
    """Return the key, else the id of the CloudEvent, else the location."""
    try:
        key = (record.key or b"").decode()
    except UnicodeDecodeError:
        key = ""
    if not key and record.headers and not own_id:
        own_id = event_id(record.headers)
    return key or own_id or f"{record.topic}-{record.partition}-{record.offset}"
