import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator

from stream.core.codec import ResultEncoder, decode_blob
from stream.core.counts import encode_total
from stream.core.dead_letter import to_dead_letter
from stream.core.decide import Decider
from stream.core.dictionary import build_index
from stream.core.records import RESULT_SCHEMA, InputRecord
from stream.core.schemas import render, schemas
from stream.errors import Reason, Rejected
from stream.tools.contracts.documents import documents

FOLDER = Path(__file__).parents[1] / "schemas"
FIX = "schemas/ does not match the models; run: hatch run schemas"
DOCUMENTS = documents()
NAMES = sorted(schemas())

DECIDER = Decider(build_index(["act", "cat", "dog"]))
HEADERS = [("x", b"\xff"), ("dead-letter.attempts", b"old"), ("z", None)]
RECORD = InputRecord("text-blobs", 3, 7, b"key", b"value", HEADERS)
JSON_VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "text", "x"]), inner),
    max_leaves=5,
)


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((FOLDER / name).read_text(encoding="utf-8")))


def is_valid(name: str, instance: object) -> bool:
    return validator(name).is_valid(instance)


def test_folder_has_every_document_and_no_other() -> None:
    assert sorted(path.name for path in FOLDER.glob("*.json")) == sorted(DOCUMENTS), FIX


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_document_matches_its_model(name: str) -> None:
    assert (FOLDER / name).read_bytes().decode() == render(DOCUMENTS[name]), FIX


@pytest.mark.parametrize("path", [FOLDER / name for name in NAMES], ids=lambda path: path.name)
def test_document_is_a_json_schema_with_its_name_and_version(path: Path) -> None:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(document)
    name, version, _ = path.name.split(".")
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document["$id"] == f"urn:anagram-stream:{name}:{version.removeprefix('v')}"
    assert document["title"].lower().replace(" ", "-") == name
    assert document["description"].endswith(".")


def test_schema_header_of_a_result_names_its_document() -> None:
    name, version = RESULT_SCHEMA.split("/")
    assert f"{name}.v{version}.json" in NAMES


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        yield from [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        yield from references(child)


@pytest.mark.parametrize("name", ["asyncapi.json", "openapi.v1.json"])
def test_every_reference_resolves(name: str) -> None:
    document = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    for reference in references(document):
        target = document
        for part in reference.removeprefix("#/").split("/"):
            assert part in target, reference
            target = target[part]


def test_asyncapi_names_the_topics_and_their_headers() -> None:
    document = DOCUMENTS["asyncapi.json"]
    topics = {channel["address"] for channel in document["channels"].values()}
    assert topics == {"text-blobs", "anagram-results", "signature-counts", "dead-letters"}
    messages = document["components"]["messages"]
    assert messages["result"]["headers"]["schema"]["properties"]["schema"]["const"] == RESULT_SCHEMA
    assert "dead-letter.reason" in messages["deadLetter"]["headers"]["schema"]["properties"]
    counts = document["channels"]["signatureCounts"]["bindings"]["kafka"]
    assert counts["topicConfiguration"] == {"cleanup.policy": ["compact"]}
    for message in messages.values():
        Draft7Validator.check_schema(message["payload"]["schema"])
        Draft7Validator.check_schema(message["headers"]["schema"])


@settings(deadline=None)
@given(st.text(), st.text(st.sampled_from("actdog -")))
def test_encoded_result_is_valid(blob_id: str, text: str) -> None:
    decision, encoder = DECIDER.decide(text), ResultEncoder("anagram-results", 10**6, 10**6)
    value = encoder.encode(RECORD, blob_id, decision.counts_json, decision.words).value
    validator("anagram-result.v1.json").validate(json.loads(value or b""))


@settings(deadline=None)
@given(st.text(st.sampled_from("actdog -")), st.integers(1, 10**30))
def test_encoded_count_is_valid(text: str, total: int) -> None:
    for signature in DECIDER.decide(text).deltas:
        record = {"signature": signature.encode().decode(), "total": encode_total(total).decode()}
        validator("signature-count.v1.json").validate(record)


@pytest.mark.parametrize("bytes_max", [0, 10**6])
@pytest.mark.parametrize("reason", Reason)
def test_headers_of_a_dead_letter_are_valid(reason: Reason, bytes_max: int) -> None:
    """All headers, including foreign ones and, if the value does not fit, the one with its length."""
    why = Rejected(reason, "decode", "it failed")
    dead_letter = to_dead_letter(
        RECORD, why, topic="dead-letters", group="g", failed_at="now", bytes_max=bytes_max
    )
    headers = {name: (data or b"").decode(errors="replace") for name, data in dead_letter.headers}
    assert ("dead-letter.value-bytes" in headers) == (bytes_max == 0)
    validator("dead-letter-headers.v1.json").validate(headers)


@settings(deadline=None)
@given(JSON_VALUES)
def test_envelope_is_valid_exactly_when_it_can_be_decoded(value: object) -> None:
    record = InputRecord("text-blobs", 3, 7, None, json.dumps(value).encode())
    try:
        decode_blob(record, "json", 10**6)
    except Rejected:
        decoded = False
    else:
        decoded = True
    assert is_valid("text-blob.v1.json", value) == decoded


@pytest.mark.parametrize(
    ("name", "instance"),
    [
        ("text-blob.v1.json", {"id": "x"}),
        ("text-blob.v1.json", {"text": 1}),
        ("anagram-result.v1.json", {"blob_id": "x", "anagram_counts": {}, "words": 0}),
        ("signature-count.v1.json", {"signature": "act", "total": 1}),
        ("signature-count.v1.json", {"signature": "act", "total": "0"}),
        ("signature-count.v1.json", {"signature": "a1", "total": "1"}),
        ("dead-letter-headers.v1.json", {"dead-letter.reason": "bad-json"}),
    ],
)
def test_record_of_another_shape_is_invalid(name: str, instance: object) -> None:
    assert not is_valid(name, instance)
