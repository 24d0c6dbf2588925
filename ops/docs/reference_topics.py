"""The page of the topics, from the AsyncAPI document, the schemas and the configuration of the topics."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from reference_markdown import (
    Json,
    alternatives,
    code,
    document,
    fields,
    marked,
    of_schema,
    paragraph,
    section,
    table,
)

from stream.config import PREFIX, Settings
from stream.core.dead_letter import MESSAGE_BYTES_MAX, REPLAYS, STACKTRACE_BYTES_MAX
from stream.core.event_time import DEAD_LETTER_HEADER, RESULT_HEADER
from stream.core.processed_offset import DIGEST, INPUT_NEXT_OFFSET, INPUT_TOPIC, ProcessedOffset
from stream.core.replay import REPLAYED, replayed_headers
from stream.core.schemas import schemas
from stream.core.skipped import SKIPPED, SkippedRange
from stream.errors import Reason
from stream.exercise.faults import Stage
from stream.kafka.topics import WITHOUT, names, wanted_configs
from stream.tools.contracts.asyncapi import asyncapi
from stream.tools.kafka.topic_creation import PARTITIONS

SCHEMAS_README = Path(__file__).resolve().parents[2] / "schemas/README.md"
ROLES = {  # channel -> role of its topic
    "textBlobs": "input",
    "anagramResults": "result",
    "signatureCounts": "count",
    "deadLetters": "dead-letter",
}
FILES = {  # message -> its JSON Schema
    "blobEnvelope": "text-blob.v1.json",
    "result": "anagram-result.v1.json",
    "count": "signature-count.v1.json",
    "deadLetter": "dead-letter-headers.v1.json",
}
NOTES: Mapping[str, Sequence[str]] = {
    "textBlobs": (
        ("The last header `content-type` (or `contentType`) decides the form of a value. `text/…`, "
         "`application/octet-stream` and an empty header mean a text; `application/json` and `text/json` "
         "mean an envelope (a text with an id); `application/cloudevents+json` means a CloudEvent in "
         "structured mode. A record with any other type is rejected. With `STREAM_INPUT_FORMAT=json`, a "
         "value that would be a text is an envelope."),
        ("The id of a blob is the `id` of its envelope, else the key of the record, else the id of the "
         "CloudEvent, else `topic-partition-offset`. Ids need not be unique: each input record has its own "
         "result or dead letter."),
    ),
    "signatureCounts": (
        (f"The last record of each transaction and partition has the header `{INPUT_NEXT_OFFSET}`. If no "
         "total changed, the worker writes a record whose key begins with a NUL byte."),
    ),
    "deadLetters": (
        ("A dead letter has the partition, key, value, timestamp and headers of its input record. `offsets "
         "skip`, `dead-letters replay` and `dead-letters import` write records of other kinds."),
    ),
}  # fmt: skip
PARTS: Mapping[tuple[str, str], str] = {
    ("blobText", "value"): "The text, in UTF-8.",
    ("count", "key"): "The signature.",
    ("count", "value"): "The total, in decimal ASCII.",
    ("deadLetter", "key"): "The key of the input record, byte for byte.",
    ("deadLetter", "value"): "The value of the input record, byte for byte.",
}
REASONS: Mapping[Reason, str] = {
    Reason.BAD_HEADERS: "The name of a header is not UTF-8, so no header can be read. The dead letter lacks "
                        "the headers of the record.",
    Reason.NULL_VALUE: "The record has no value.",
    Reason.CONTENT_TYPE: "The content type is none of those that are accepted.",
    Reason.SCHEMA_REGISTRY: "The value begins with a zero byte and a schema id, as the serializers of a "
                            "Schema Registry write it.",
    Reason.UNDECODABLE: "The text is not UTF-8.",
    Reason.BAD_JSON: "The value has the type of an envelope or a CloudEvent, and is not JSON.",
    Reason.WRONG_SHAPE: "The JSON is not an envelope or not a CloudEvent, or the data of the CloudEvent is "
                        "neither a text nor an envelope.",
    Reason.TEXT_TOO_LARGE: "The text is longer than `STREAM_TEXT_BYTES_MAX`.",
    Reason.RESULT_TOO_LARGE: "The result is longer than `STREAM_RESULT_BYTES_MAX`, or than the result topic "
                             "accepts.",
    Reason.RETRIES_EXHAUSTED: "A stage failed `STREAM_RETRY_ATTEMPTS_MAX` times. Stages fail only under "
                              "`STREAM_FAULTS`.",
}  # fmt: skip
HEADERS: Mapping[str, str] = {
    "content-type": "Form of the value.",
    "schema": "Name and version of the schema of the value.",
    RESULT_HEADER: "Timestamp of the input record in ms, if the topic refuses it, or would soon delete the "
                   "result because of it.",
    INPUT_NEXT_OFFSET: "The totals of this partition cover all input before this offset.",
    DIGEST: "Digest of the dictionary that the totals were counted with.",
    INPUT_TOPIC: "Id of the input topic that the offset belongs to.",
    "__streams.errors.topic": "Topic of the input record.",
    "__streams.errors.partition": "Partition of the input record.",
    "__streams.errors.offset": "Offset of the input record; of a skipped range, the first one.",
    "__streams.errors.exception": "Class of the error.",
    "__streams.errors.message": f"What is wrong, at most {MESSAGE_BYTES_MAX} bytes, without the text itself.",
    "__streams.errors.stacktrace": f"Where the error occurred; the last {STACKTRACE_BYTES_MAX} bytes.",
    "dead-letter.reason": "See [Reasons](#reasons-of-dead-letters).",
    "dead-letter.stage": f"Stage that rejected the record: {alternatives(['decode', 'encode', *Stage])}.",
    "dead-letter.attempts": "Number of attempts of the stage.",
    "dead-letter.group": "Consumer group that wrote the record.",
    "dead-letter.failed-at": "Time of the rejection, in ISO 8601 (UTC).",
    "dead-letter.version": "Version of `anagram-stream`.",
    REPLAYS: "How often the record was replayed. Its input record has the header as well.",
    DEAD_LETTER_HEADER: "Timestamp of the input record in ms, if the topic refuses it, or would soon delete "
                        "the dead letter because of it.",
    "dead-letter.value-bytes": "Length of the value, which is null because the dead letter would be too "
                               "large with it.",
    "dead-letter.headers-bytes": "Length of the headers, which were left out for the same reason.",
    "dead-letter.key-bytes": "Length of the key, which is null for the same reason.",
    "skipped.to": "Offset after the last skipped one.",
    "skipped.counted-to": "Totals cover the input before this offset; only its results and dead letters are "
                          "lost.",
    "replayed.offsets": "Offsets of the replayed dead letters of this partition, such as `17-20,25`.",
    "replayed.topic-id": "Id of the dead-letter topic that the offsets belong to.",
}  # fmt: skip


def page() -> str:
    defaults = Settings.model_construct()
    contract = asyncapi(defaults)
    return document(
        "Topics",
        "The four topics: keys, values, headers and configuration, and what may change within a version.",
        paragraph("Results, dead letters, totals and offsets of a batch are committed in one transaction: "
                  "read the topics with `isolation.level=read_committed`. `schemas/asyncapi.json` describes "
                  "the topics in a form that programs can read."),
        table(["topic", "setting of its name", "content"], _overview(contract, defaults)),
        *(_channel(name, channel, contract) for name, channel in contract["channels"].items()),
        section("Reasons of dead letters", table(["reason", "meaning"], _reasons())),
        section("Configuration of the topics", *_configuration(defaults)),
        section("Compatibility", _compatibility()),
    )  # fmt: skip


def _overview(contract: Json, defaults: Settings) -> Iterator[Sequence[str]]:
    by_role = names(defaults)
    for name, channel in contract["channels"].items():
        topic = by_role[ROLES[name]]
        setting = next(each for each in Settings.model_fields if getattr(defaults, each, "") == topic)
        yield f"[{code(topic)}](#{topic})", code(PREFIX + setting.upper()), marked(channel["description"])


def _channel(name: str, channel: Json, contract: Json) -> str:
    messages = contract["components"]["messages"]
    return section(
        code(channel["address"]),
        *(paragraph(marked(text)) for text in (channel["description"], *NOTES.get(name, ()))),
        *(_message(each, messages[each]) for each in channel["messages"]),
    )


def _message(name: str, message: Json) -> str:
    payload, headers = message["payload"]["schema"], message["headers"]["schema"]
    key = message["bindings"]["kafka"]["key"]
    parts = []
    if name in FILES:
        description = schemas()[FILES[name]]["description"]
        parts.append(paragraph(marked(description), f"JSON Schema: `schemas/{FILES[name]}`."))
    elif "description" in payload:
        parts.append(paragraph(marked(payload["description"])))
    rows = [_part(name, "key", key), _part(name, "value", payload)]
    parts.append(table(["part", "type", "meaning"], rows))
    if "properties" in payload:
        parts.append(table(["field", "type", "required", "meaning"], fields(payload)))
    if header_rows := list(_headers(name, headers)):
        parts.append(table(["header", "value", "required", "meaning"], header_rows))
    return section(message["title"], *parts, level=3)


def _part(message: str, part: str, schema: Json) -> Sequence[str]:
    if "properties" in schema:
        return part, "JSON object", "See the next table."
    described = schema.get("description", "")
    return part, of_schema(schema), PARTS.get((message, part), described)


def _headers(name: str, schema: Json) -> Iterator[Sequence[str]]:
    required = schema.get("required", ())
    for header, of_header in schema.get("properties", {}).items():
        examples = of_header.get("examples")
        value = f"such as {alternatives(examples)}" if examples else of_schema(of_header)
        meaning = of_header.get("description") or HEADERS[header]
        yield code(header), value, "yes" if header in required else "no", marked(meaning)
    for header, is_required in _more_headers(name).items():
        yield code(header), "text", "yes" if is_required else "no", HEADERS[header]


def _more_headers(message: str) -> Mapping[str, bool]:
    """Return the headers that the AsyncAPI document does not name, and whether a record always has them."""
    optional = ("dead-letter.value-bytes", "dead-letter.headers-bytes", "dead-letter.key-bytes")
    processed = [name for name, _ in ProcessedOffset(0, "", "").headers()]
    skipped = [name for name, _ in SkippedRange(0, 0, 2, counted_to=1).headers("", "")]
    replayed = [name for name, _ in replayed_headers([0], "", "", "")]
    always = {
        "processedOffset": processed,
        "skippedRange": [name for name in skipped if name != "skipped.counted-to"],
        "replayedList": replayed,
    }
    sometimes = {
        "result": [RESULT_HEADER],
        "count": processed,
        "deadLetter": [DEAD_LETTER_HEADER, REPLAYS, *optional],
        "skippedRange": ["skipped.counted-to"],
    }
    more = dict.fromkeys(always.get(message, ()), True) | dict.fromkeys(sometimes.get(message, ()), False)
    return {name: is_required for name, is_required in more.items() if name != "dead-letter.reason"}


def _reasons() -> Iterator[Sequence[str]]:
    for reason in Reason:
        yield code(reason), REASONS[reason]
    yield code(SKIPPED), "No dead letter: `offsets skip` left out this range of the input."
    yield code(REPLAYED), "No dead letter: `dead-letters replay` or `import` sent these dead letters again."


def _configuration(defaults: Settings) -> Iterator[str]:
    yield paragraph(
        "`topics create` creates missing topics with this configuration, and `topics create --repair` "
        "corrects that of existing topics. The sizes are those of the default settings. A configuration that "
        "the brokers do not know or accept is left out; the last column shows the consequence."
    )
    topics = names(defaults)
    rows = (
        [code(topics[role]), code(name), code(value), _without(role, name)]
        for role, configs in wanted_configs(defaults).items()
        for name, value in configs.items()
    )
    yield table(["topic", "configuration", "value", "without it"], rows)
    yield paragraph(
        f"New topics have {PARTITIONS} partitions, or as many as `--partitions` or an existing input topic "
        "has. The result and the count topic need at least as many partitions as the input topic: run "
        "`topics create` after you have added partitions to the input topic. New topics have the replication "
        "factor of `--replication`, or by default that of the broker."
    )


def _without(role: str, name: str) -> str:
    return "a worker does not start" if (role, name) == ("count", "cleanup.policy") else WITHOUT[name]


def _compatibility() -> str:
    _, heading, rules = SCHEMAS_README.read_text(encoding="utf-8").partition("## Compatibility\n")
    assert heading, f"{SCHEMAS_README} has no rules of compatibility"
    return rules.strip() + "\n"
