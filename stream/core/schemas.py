"""Generates the JSON Schema documents in `schemas/`, one per record and version, from the models."""

from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from stream.core.records import AnagramResult, DeadLetterHeaders, SignatureCount, TextBlob

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True)
class _Versioned:
    """The model of one version of a record; `more` is appended to the description of the model."""

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
        "A record whose value is only the text, in UTF-8, needs no schema.",
    ),
    _Versioned(
        AnagramResult,
        "anagram-result",
        1,
        "Anagram result",
        "The key of the record is the blob's id; its partition and timestamp are those of the input record. "
        "If the topic refuses the timestamp, or would soon delete the result because of it, the header "
        "`input-timestamp-ms` contains it.",
    ),
    _Versioned(
        SignatureCount,
        "signature-count",
        1,
        "Signature count",
        "Key and value as text. The total of a signature is the sum over all partitions. A key that begins "
        "with a NUL byte belongs to the worker, not to a signature: skip it.",
    ),
    _Versioned(
        DeadLetterHeaders,
        "dead-letter-headers",
        1,
        "Dead letter headers",
        "Key, value, timestamp and all other headers are those of the rejected record. If the topic refuses "
        "the timestamp, or would soon delete the dead letter because of it, another header, "
        "`dead-letter.timestamp-ms`, contains it. If the dead letter would be "
        "too long, the value is null, and another header, `dead-letter.value-bytes`, contains its length. "
        "A record that was replayed has the header `dead-letter.replays`, and so has its dead letter.",
    ),
)


class _Untitled(GenerateJsonSchema):
    """Generates no titles for fields: they would only repeat the names."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401, ARG002 - pydantic's signature
        return False


def schemas() -> dict[str, dict[str, Any]]:
    """Return file name -> document."""
    return {f"{one.name}.v{one.version}.json": _document(one) for one in _DOCUMENTS}


def render(document: dict[str, Any]) -> str:
    """Return the content of a document's file: indented, with sorted keys and a newline at the end."""
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
    return document


def inlined(schema: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a schema with each reference replaced by its definition, to embed it in other documents."""
    definitions = schema.get("$defs", {}) if isinstance(schema, dict) else {}

    def replaced(node: Any) -> Any:  # noqa: ANN401 - JSON
        if isinstance(node, list):
            return [replaced(each) for each in node]
        if not isinstance(node, dict):
            return node
        reference = node.get("$ref", "")
        siblings = {name: replaced(value) for name, value in node.items() if name not in {"$ref", "$defs"}}
        return replaced(definitions[reference.removeprefix("#/$defs/")]) | siblings if reference else siblings

    return replaced(schema)
