"""Bytes <-> records. Pure, so that decoding is retried, tested and fuzzed like any other step."""

from dataclasses import dataclass
from typing import Literal

import orjson
from pydantic import ValidationError

from stream.core.decide import Decision
from stream.core.engine import Counted
from stream.core.records import (
    RESULT_SCHEMA,
    UNREADABLE_HEADERS,
    Header,
    InputRecord,
    OutputRecord,
    TextBlob,
    record_bytes,
)
from stream.errors import Reason, Rejected

_JSON = "application/json"
_PASSED_ON = ("traceparent", "tracestate")  # W3C Trace Context


@dataclass(frozen=True, slots=True)
class Blob:
    """A decoded input record."""

    blob_id: str
    text: str


def decode_blob(record: InputRecord, input_format: Literal["text", "json"], text_bytes_max: int) -> Blob:
    """Decode an input record: UTF-8 text, or the JSON envelope `{"id"?, "text"}`.

    Raises:
        Rejected: null value, not UTF-8, bad JSON, wrong shape, or a text of too many bytes.
    """
    if record.headers is UNREADABLE_HEADERS:
        raise Rejected(
            Reason.BAD_HEADERS, "decode", "the name of a header is not UTF-8; none of them could be read"
        )
    value = record.value
    if value is None:
        raise Rejected(Reason.NULL_VALUE, "decode", "the record has no value")
    if input_format == "json" or _is_json(record):
        blob = _envelope(value)
        _limit(len(blob.text.encode()), text_bytes_max)
        return Blob(blob.id or _id_from_key(record), blob.text)
    _limit(len(value), text_bytes_max)
    return Blob(_id_from_key(record), _utf8(value))


def encode_result(  # noqa: PLR0913, PLR0917 - a record, what it says, where it goes, what may fit
    record: InputRecord,
    blob_id: str,
    decision: Decision | Counted,
    topic: str,
    result_bytes_max: int,
    record_bytes_max: int,
) -> OutputRecord:
    """Encode a result for the partition of its input; the JSON is that of `records.AnagramResult`.

    Raises:
        Rejected: the JSON is longer than `result_bytes_max`, or with key and headers longer than the
            result topic takes, `record_bytes_max`.
    """
    value = b'{"blob_id":%b,"anagram_counts":%b,"words":%d,"source":%b}' % (
        orjson.dumps(blob_id),
        decision.counts_json,
        decision.words,
        orjson.dumps({"topic": record.topic, "partition": record.partition, "offset": record.offset}),
    )
    key = blob_id.encode()
    headers: list[Header] = [("content-type", _JSON.encode()), ("schema", RESULT_SCHEMA.encode())]
    headers += [header for header in record.headers if header[0] in _PASSED_ON]
    whole = record_bytes(key, value, headers)
    if len(value) > result_bytes_max or whole > record_bytes_max:
        limit = min(result_bytes_max, record_bytes_max - (whole - len(value)))
        raise Rejected(
            Reason.RESULT_TOO_LARGE, "encode", f"the result has {len(value)} bytes, {max(0, limit)} would fit"
        )
    return OutputRecord(topic, record.partition, key, value, headers)


def _is_json(record: InputRecord) -> bool:
    for name, value in reversed(record.headers):
        if name.lower() == "content-type":
            media_type = (value or b"").partition(b";")[0].strip().lower()
            return media_type == _JSON.encode()
    return False


def _envelope(value: bytes) -> TextBlob:
    _utf8(value)
    try:
        return TextBlob.model_validate_json(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        reason = Reason.BAD_JSON if first["type"] == "json_invalid" else Reason.WRONG_SHAPE
        where = ".".join(str(part) for part in first["loc"])
        raise Rejected(reason, "decode", f"{where}: {first['msg']}" if where else first["msg"]) from error


def _utf8(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Rejected(Reason.UNDECODABLE, "decode", f"not UTF-8 at byte {error.start}") from error


def _limit(size: int, bytes_max: int) -> None:
    if size > bytes_max:
        raise Rejected(
            Reason.TEXT_TOO_LARGE, "decode", f"the text has {size} bytes, the limit is {bytes_max}"
        )


def _id_from_key(record: InputRecord) -> str:
    try:
        key = (record.key or b"").decode()
    except UnicodeDecodeError:
        key = ""
    return key or f"{record.topic}-{record.partition}-{record.offset}"
