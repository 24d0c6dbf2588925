"""Generates the AsyncAPI 3 document of the four topics: channels, messages, headers and Kafka bindings."""

from collections.abc import Mapping
from typing import Any

from stream import __version__
from stream.config import Settings
from stream.core.cloud_events import STRUCTURED, CloudEvent
from stream.core.processed_offset import PROCESSED_KEY
from stream.core.records import RESULT_SCHEMA
from stream.core.replay import REPLAYED
from stream.core.schemas import inlined, schemas
from stream.core.skipped import SKIPPED

_BINDING = "0.5.0"  # version of the Kafka bindings
_DRAFT = "application/schema+json;version=draft-07"
_JSON, _TEXT, _BYTES = "application/json", "text/plain", "application/octet-stream"
_NULL: Mapping[str, Any] = {"type": "null"}
_ANY_HEADERS: Mapping[str, Any] = {"type": "object"}
_TRACE: Mapping[str, Any] = {
    "traceparent": {"type": "string", "description": "W3C Trace Context; results have that of their input."},
    "tracestate": {"type": "string", "description": "W3C Trace Context, as `traceparent`."},
}
_ANY_KEY = {"type": "string", "description": "The id of the blob, if the value contains none; may be null."}

Document = dict[str, Any]


def asyncapi(settings: Settings) -> Document:
    """Return the document for the topics of these settings."""
    channels = {
        "textBlobs": (settings.input_topic, _INPUT),
        "anagramResults": (settings.result_topic, _RESULT),
        "signatureCounts": (settings.count_topic, _COUNTS),
        "deadLetters": (settings.dead_letter_topic, _DEAD_LETTERS),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Anagram stream",
            "version": __version__,
            "description": "Counts the anagrams of the words of text blobs, exactly once. Results, dead "
            "letters, totals and offsets of a batch are one transaction: read the topics with "
            "`isolation.level=read_committed`.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": _JSON,
        "servers": {"kafka": {"host": settings.bootstrap_servers.split(",")[0], "protocol": "kafka"}},
        "channels": {name: _channel(topic, spec) for name, (topic, spec) in channels.items()},
        "operations": {
            f"{spec['action']}{name[0].upper()}{name[1:]}": {
                "action": spec["action"],
                "channel": {"$ref": f"#/channels/{name}"},
                "summary": spec["summary"],
                "bindings": {"kafka": {"bindingVersion": _BINDING}},
            }
            for name, (_, spec) in channels.items()
        },
        "components": {"messages": _messages()},
    }


_INPUT = {
    "action": "receive",
    "summary": "Reads text blobs in any of the three forms.",
    "description": "The texts to count. The header `content-type` states the form of a value; without it, "
    "`STREAM_INPUT_FORMAT` does, which is plain text by default.",
    "messages": ("blobText", "blobEnvelope", "blobEvent"),
    "configs": {},
}
_RESULT = {
    "action": "send",
    "summary": "Writes one result for each counted blob.",
    "description": "The counts of each blob, on the partition of its input and in its order.",
    "messages": ("result",),
    "configs": {},
}
_COUNTS = {
    "action": "send",
    "summary": "Writes the new totals of each batch.",
    "description": "The running totals by signature and partition: a total is the sum of the latest values "
    "of all partitions. It is the changelog of the stores.",
    "messages": ("count", "processedOffset"),
    "configs": {"cleanup.policy": ["compact"]},
}
_DEAD_LETTERS = {
    "action": "send",
    "summary": "Writes one dead letter for each rejected record.",
    "description": "The rejected records, unchanged, with headers that state why.",
    "messages": ("deadLetter", "skippedRange", "replayedList"),
    "configs": {},
}


def _channel(topic: str, spec: Mapping[str, Any]) -> Document:
    configs = spec["configs"]
    binding = {"topic": topic, **({"topicConfiguration": configs} if configs else {})}
    return {
        "address": topic,
        "description": spec["description"],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in spec["messages"]},
        "bindings": {"kafka": binding | {"bindingVersion": _BINDING}},
    }


def _messages() -> Document:
    documents = schemas()
    return {
        **_input_messages(documents["text-blob.v1.json"]),
        **_output_messages(documents["anagram-result.v1.json"], documents["signature-count.v1.json"]),
        **_dead_letter_messages(documents["dead-letter-headers.v1.json"]),
    }


def _input_messages(envelope: Document) -> Document:
    event = inlined(CloudEvent.model_json_schema()) | {
        "description": "The data is a text or an envelope. In binary mode, the event is a text or an "
        "envelope with headers `ce_…`."
    }
    forms = {
        "blobText": ("A text", _TEXT, {"type": "string"}),
        "blobEnvelope": ("A text with an id", _JSON, envelope),
        "blobEvent": ("A CloudEvent 1.0 in structured mode", STRUCTURED, event),
    }
    return {
        name: _message(
            title, form, payload, key=_ANY_KEY, headers=_headers(required=form != _TEXT, type_=form)
        )
        for name, (title, form, payload) in forms.items()
    }


def _output_messages(result: Document, count: Document) -> Document:
    key = {"type": "string", "description": "The id of the blob."}
    schema_header = {"type": "string", "const": RESULT_SCHEMA}
    processed_key = {"type": "string", "const": PROCESSED_KEY.decode()}
    headers = _headers(required=True, type_=_JSON, schema=schema_header)
    total, signature = count["properties"]["total"], count["properties"]["signature"]
    return {
        "result": _message("The counts of one blob", _JSON, result, key=key, headers=headers),
        "count": _message(
            "The total of a signature on one partition", _TEXT, total, key=signature, headers=_ANY_HEADERS
        ),
        "processedOffset": _message(
            "How far the totals of a partition go; for workers only",
            _TEXT,
            {"type": "string"},
            key=processed_key,
            headers=_ANY_HEADERS,
        ),
    }


def _dead_letter_messages(headers: Document) -> Document:
    return {
        "deadLetter": _message("A rejected record", _BYTES, {}, key={}, headers=headers),
        "skippedRange": _message(
            "Input that an operator skipped", _BYTES, _NULL, key=_NULL, headers=_reason(SKIPPED)
        ),
        "replayedList": _message(
            "A list of replayed dead letters", _BYTES, _NULL, key=_NULL, headers=_reason(REPLAYED)
        ),
    }


def _message(title: str, content_type: str, payload: Any, *, key: Any, headers: Any) -> Document:  # noqa: ANN401 - JSON
    return {
        "title": title,
        "contentType": content_type,
        "headers": _schema(headers),
        "payload": _schema(payload),
        "bindings": {"kafka": {"key": inlined(key), "bindingVersion": _BINDING}},
    }


def _schema(schema: Document) -> Document:
    """Wrap a JSON Schema, without its dialect and id, which belong to another document."""
    kept = {name: value for name, value in inlined(schema).items() if name not in {"$schema", "$id"}}
    return {"schemaFormat": _DRAFT, "schema": kept}


def _headers(*, required: bool, type_: str, **more: Any) -> Document:  # noqa: ANN401 - JSON
    properties = {"content-type": {"type": "string", "examples": [type_]}, **more, **_TRACE}
    return {
        "type": "object",
        "properties": properties,
        **({"required": ["content-type", *more]} if required else {}),
    }


def _reason(value: str) -> Document:
    return {
        "type": "object",
        "properties": {"dead-letter.reason": {"type": "string", "const": value}},
        "required": ["dead-letter.reason"],
    }
