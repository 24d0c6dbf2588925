"""The rules of `schemas/README.md`, against every released version."""

import json
from pathlib import Path
from typing import Any

import pytest

from stream.core.records import AnagramResult, SignatureCount, TextBlob
from stream.core.schemas import inlined, schemas

RELEASED = sorted((Path(__file__).parents[1] / "schemas" / "released").glob("*/*.json"))
READ = {"text-blob.v1.json"}  # the others are written
RESULT = {
    "blob_id": "x",
    "anagram_counts": {"act": 1},
    "words": 1,
    "source": {"topic": "text-blobs", "partition": 0, "offset": 7},
}
Schema = dict[str, Any]


def complaints(released: Schema, current: Schema, *, is_read: bool, where: str = "") -> list[str]:
    """Return the changes that would break a program written for the released schema."""
    broken = []
    if released.get("type") != current.get("type") or released.get("pattern") != current.get("pattern"):
        broken.append(f"{where} has a different type")
    required, now_required = set(released.get("required", ())), set(current.get("required", ()))
    if is_read and now_required - required:
        broken.append(f"{where} requires {now_required - required}")
    if not is_read and required - now_required:
        broken.append(f"{where} no longer requires {required - now_required}")
    if current.get("additionalProperties") is False:
        broken.append(f"{where} is closed to new fields")
    for name, schema in released.get("properties", {}).items():
        now = current.get("properties", {}).get(name)
        if now is None:
            broken.append(f"{where}.{name} was removed")
        else:
            broken += complaints(schema, now, is_read=is_read, where=f"{where}.{name}")
    return broken


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_present_schema_is_compatible_with_the_released_one(path: Path) -> None:
    current = schemas().get(path.name)
    assert current is not None, f"{path.name} was removed"
    released = inlined(json.loads(path.read_text(encoding="utf-8")))
    assert complaints(released, inlined(current), is_read=path.name in READ) == []


def test_a_version_was_released() -> None:
    assert len(RELEASED) >= 4


@pytest.mark.parametrize(
    ("change", "is_read"),
    [
        ({"required": []}, False),
        ({"required": ["blob_id", "more"]}, True),
        ({"additionalProperties": False}, False),
        ({"properties": {}}, False),
        ({"properties": {"blob_id": {"type": "integer"}}}, False),
        ({"type": "array"}, False),
    ],
    ids=str,
)
def test_incompatible_change_is_detected(change: Schema, is_read: bool) -> None:  # noqa: FBT001
    released = {"type": "object", "properties": {"blob_id": {"type": "string"}}, "required": ["blob_id"]}
    assert complaints(released, released, is_read=is_read) == []
    assert complaints(released, released | change, is_read=is_read)


def test_readers_accept_fields_of_later_versions() -> None:
    source = RESULT["source"] | {"new": 1}  # type: ignore[operator]
    result = AnagramResult.model_validate(RESULT | {"new": {"x": 1}, "source": source})
    assert result.model_dump() == RESULT
    assert SignatureCount.model_validate({"signature": "act", "total": "1", "new": 1}).total == "1"
    assert TextBlob.model_validate({"text": "cat", "new": 1}).text == "cat"
