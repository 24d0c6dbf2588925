"""Identifies the totals that a store belongs to."""

from dataclasses import asdict, dataclass

import orjson

FORMAT = 1


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """Identifies the totals that a store belongs to, by ids: a topic that is created again has a new id.

    Attributes:
        digest: the digest of the fold; named `dictionary` in the JSON, as in stores of earlier versions.
    """

    cluster_id: str
    input_topic_id: str
    count_topic_id: str
    digest: str
    format: int = FORMAT


def encode_identity(identity: StoreIdentity) -> bytes:
    names = asdict(identity)
    names["dictionary"] = names.pop("digest")
    return orjson.dumps(names, option=orjson.OPT_SORT_KEYS)


def identity_of(value: bytes | None) -> StoreIdentity | None:
    """Decode an identity; None if it is missing or of another format."""
    try:
        names = orjson.loads(value or b"")
        return StoreIdentity(digest=names.pop("dictionary"), **names)
    except (orjson.JSONDecodeError, TypeError, AttributeError, KeyError):
        return None
