"""Reads results and dead letters, and converts them to the form that a view stores."""

import re
import struct
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import orjson

from stream.config import Settings
from stream.core.codec import decode_blob
from stream.core.dead_letter import is_of_dead_letter
from stream.core.records import InputRecord
from stream.core.replay import original_timestamp, read_origin
from stream.errors import Rejected
from stream.tools.audit.outcomes import read_result
from stream.tools.dead_letters.stored import StoredDeadLetter
from stream.tools.kafka.topic_reader import StoredRecord

RESULT, DEAD_LETTER = b"r", b"d"
KINDS: Mapping[bytes, str] = {RESULT: "result", DEAD_LETTER: "dead-letter"}
_TIMESTAMP = struct.Struct(">q")
_TEXT_BYTES_MAX = 2**31


class ReadOutcome(NamedTuple):
    """A result or dead letter as it was read.

    Attributes:
        source: partition and offset of the input record.
        value: the value in the form that the view stores.
        reason: why the record was rejected; empty for a result.
    """

    blob_id: bytes
    source: tuple[int, int]
    value: bytes
    reason: str = ""


class ResultReader:
    """Reads the results of one input topic."""

    def __init__(self, input_topic: str) -> None:
        # Every version writes this field last; fully parsing each result would take five times as long.
        self._source = re.compile(
            rb',"source":\{"topic":%b,"partition":(\d{1,9}),"offset":(\d{1,18})\}\}$'
            % re.escape(orjson.dumps(input_topic))
        )
        self._tail_bytes = len(orjson.dumps(input_topic)) + 90
        self._input_topic = input_topic

    def read(
        self, offset: int, key: bytes | None, value: bytes | None, timestamp_ms: int
    ) -> ReadOutcome | None:
        """Read a result; None if it is not one of this input topic."""
        value = value or b""
        source = self._source.search(value[-self._tail_bytes :])
        if source is not None and key is not None:
            position = int(source[1]), int(source[2])
        else:
            result = read_result(offset, key, value, self._input_topic)
            if result is None:
                return None
            position = result.source
            key = str(result.body.get("blob_id", "")).encode()
        return ReadOutcome(key, position, _TIMESTAMP.pack(timestamp_ms) + value)


def read_dead_letter(record: StoredRecord, settings: Settings) -> ReadOutcome | None:
    """Read a dead letter; None if it is not one of the input topic and group of these settings."""
    origin, input_topic = read_origin(record.headers), settings.input_topic
    if origin is None or (origin.topic, origin.group) != (input_topic, settings.group_id):
        return None
    letter = StoredDeadLetter(record)
    timestamp_ms = original_timestamp(record.headers, record.timestamp_ms)
    headers = [header for header in record.headers if not is_of_dead_letter(header[0])]
    rejected = InputRecord(input_topic, origin.partition, origin.offset, record.key, record.value, headers)
    fields = letter.as_json()
    kept = {
        name: fields[name]
        for name in ("reason", "stage", "attempts", "failed_at", "message", "value_bytes", "fingerprint")
    }
    blob_id = _blob_id(rejected, settings.input_format)
    body = orjson.dumps({"blob_id": blob_id, **kept, "source": fields["input"]})
    source = origin.partition, origin.offset
    return ReadOutcome(blob_id.encode(), source, _TIMESTAMP.pack(timestamp_ms) + body, str(fields["reason"]))


def read_value(stored: bytes) -> tuple[int, Mapping[str, Any]]:
    """Return the timestamp in ms, and the fields of a result or dead letter."""
    return _TIMESTAMP.unpack(stored[:8])[0], orjson.loads(stored[8:])


def _blob_id(rejected: InputRecord, input_format: Literal["text", "json"]) -> str:
    """Return the id that the result of a rejected record would have, as far as it can be read."""
    try:
        return decode_blob(rejected, input_format, _TEXT_BYTES_MAX).blob_id
    except Rejected:
        pass
    try:
        envelope = orjson.loads(rejected.value or b"")
    except orjson.JSONDecodeError:
        envelope = None
    own_id = envelope.get("id") if isinstance(envelope, dict) else None
    if isinstance(own_id, str) and own_id:
        return own_id
    key = (rejected.key or b"").decode(errors="ignore")
    return key or f"{rejected.topic}-{rejected.partition}-{rejected.offset}"
