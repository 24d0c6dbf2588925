"""Models -> JSON Schema documents, one per record and version: what lies in `schemas/`."""

from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from stream.core.records import AnagramResult, DeadLetterHeaders, SignatureCount, TextBlob

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True)
class _Versioned:
    """A model as of one version of its record; `more` is added to its own description."""

    model: type[BaseModel]
    name: str
    version: int
    title: str
    more: str = ""


_DOCUMENTS = (
    _Versioned(
        TextBlob,
        "text-blob",
        1,
        "Text blob",
        "A record whose value is the bare text, UTF-8, needs no schema.",
    ),
    _Versioned(
        AnagramResult,
        "anagram-result",
        1,
        "Anagram result",
        "The record's key is the blob's id, its partition that of the input record.",
    ),
    _Versioned(
        SignatureCount,
        "signature-count",
        1,
        "Signature count",
        "Key and value as text; the total of a signature is the sum over all partitions.",
    ),
    _Versioned(
        DeadLetterHeaders,
        "dead-letter-headers",
        1,
        "Dead letter headers",
        "Key, value, timestamp and all other headers are as they came. Where the whole would have been too "
        "long, the value is null and one more header, `dead-letter.value-bytes`, says how long it was.",
    ),
)


class _Untitled(GenerateJsonSchema):
    """Fields without titles, which would only repeat their names."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401, ARG002 - pydantic's signature
        return False


def schemas() -> dict[str, dict[str, Any]]:
    """Return the documents by the names of their files."""
    return {f"{one.name}.v{one.version}.json": _document(one) for one in _DOCUMENTS}


def render(document: dict[str, Any]) -> str:
    """Return a document as its file holds it: indented, keys sorted, a newline at the end."""
    return orjson.dumps(
        document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    ).decode()


def _document(one: _Versioned) -> dict[str, Any]:
    document = one.model.model_json_schema(by_alias=True, schema_generator=_Untitled)
    document |= {
        "$schema": _DIALECT,
        "$id": f"urn:anagram-stream:{one.name}:{one.version}",
        "title": one.title,
        "description": f"{one.model.__doc__} {one.more}".strip(),
    }
    if one.model is DeadLetterHeaders:
        del document["additionalProperties"]  # a dead letter keeps the headers that its record came with
    return document
