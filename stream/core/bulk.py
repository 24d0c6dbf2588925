"""Decodes and encodes the records of a chunk column by column, with C functions only.

This is the fast path of `codec`, which is the definition: if any record of a chunk is not ordinary, all its
records are decoded or encoded one by one. Tests compare the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter, methodcaller
from typing import Literal

import orjson

from stream.core.codec import Blob, ResultEncoder, decode_blob
from stream.core.columns import InputRecords, OutputRecords
from stream.core.records import OutputRecord
from stream.errors import Rejected

InputFormat = Literal["text", "json"]
_text_of, _id_of = itemgetter("text"), methodcaller("get", "id")


@dataclass(frozen=True, slots=True)
class Blobs:
    """The decoded records of a chunk, without the rejected ones.

    Attributes:
        ids: the ids of the blobs.
        texts: the texts in UTF-8.
        rejected: position of a record -> why it cannot be decoded.
    """

    ids: Sequence[str]
    texts: Sequence[bytes]
    rejected: dict[int, Rejected]


def decode_blobs(records: InputRecords, input_format: InputFormat, text_bytes_max: int) -> Blobs:
    """Decode the records as `decode_blob` does."""
    try:
        return _decode_ordinary(records, input_format, text_bytes_max)
    except (ValueError, TypeError, KeyError):  # a record is not ordinary
        pass
    blobs, rejected = list[Blob](), dict[int, Rejected]()
    for position, record in enumerate(records):
        try:
            blobs.append(decode_blob(record, input_format, text_bytes_max))
        except Rejected as why:
            rejected[position] = why
    return Blobs([blob.blob_id for blob in blobs], [blob.utf8 for blob in blobs], rejected)


def encode_results(
    encoder: ResultEncoder,
    records: InputRecords,
    ids: Sequence[str],
    entries: Sequence[bytes],
    words: Sequence[int],
) -> tuple[OutputRecords, dict[int, Rejected]]:
    """Encode the results of the records as `ResultEncoder.encode` does.

    Returns:
        The results, and a map from the position of a record to the reason why it has no result.
    """
    if records and not any(records.headers):
        results = encoder.encode_ordinary(records, ids, entries, words)
        if results is not None:
            return results, {}
    encoded, rejected = list[OutputRecord](), dict[int, Rejected]()
    counts_json = map(b"{%b}".__mod__, entries)
    for position, columns in enumerate(zip(records, ids, counts_json, words, strict=True)):
        try:
            encoded.append(encoder.encode(*columns))
        except Rejected as why:
            rejected[position] = why
    empty = OutputRecords.empty("", records.partition)
    return OutputRecords.of(encoded) if encoded else empty, rejected


def _decode_ordinary(records: InputRecords, input_format: InputFormat, text_bytes_max: int) -> Blobs:
    """Decode records without headers, each with a valid value and an id of the same kind.

    Raises:
        ValueError, TypeError, KeyError: a record is not ordinary.
    """
    _require(not any(records.headers))
    values: list[bytes] = records.values  # type: ignore[assignment]  # the code below raises for a null value
    if input_format == "json":
        envelopes = list(map(orjson.loads, values))
        strings = list(map(_text_of, envelopes))
        _require({*map(type, strings)} <= {str})
        ids, texts = list(map(_id_of, envelopes)), list(map(str.encode, strings))
    else:
        joined = b"\n".join([b"", *values])
        joined.decode()  # the separator is ASCII, so the whole is valid exactly if each value is
        _require(b"\n\0\0" not in joined)  # possibly a schema id
        ids, texts = [None] * len(values), values
    _require(max(map(len, texts), default=0) <= text_bytes_max)
    if not any(ids):
        _require({*ids} <= {None})
        ids = _ids_of(records)
    _require({*map(type, ids)} <= {str} and all(ids))
    return Blobs(ids, texts, {})


def _ids_of(records: InputRecords) -> list[str]:
    """Return the keys, or the locations if no record has a key."""
    if any(records.keys):
        return list(map(bytes.decode, records.keys))  # type: ignore[arg-type]  # raises for a missing key
    location = f"{records.topic}-{records.partition}".replace("%", "%%") + "-%d"
    return list(map(location.__mod__, records.offsets))


def _require(condition: bool) -> None:  # noqa: FBT001
    if not condition:
        raise ValueError
