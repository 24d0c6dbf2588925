"""Counts + deltas -> changed totals: the fold that the store's state is."""

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

Key = TypeVar("Key", str, bytes)


def merge(deltas: Iterable[Mapping[Key, int]]) -> dict[Key, int]:
    """Add deltas up: signature -> by how much its total grows over all of them."""
    merged: dict[Key, int] = {}
    so_far = merged.get
    for delta in deltas:
        for key, grown in delta.items():
            merged[key] = so_far(key, 0) + grown
    return merged


def fold(counts: Mapping[Key, int], deltas: Iterable[Mapping[Key, int]]) -> dict[Key, int]:
    """Return the new totals, only of the signatures touched."""
    return {key: counts.get(key, 0) + grown for key, grown in merge(deltas).items()}


def encode_total(total: int) -> bytes:
    """Return a total as it stands in the count topic and in the store: decimal ASCII."""
    assert total > 0
    return b"%d" % total


def check_totals(values: Collection[bytes]) -> None:
    """Check many totals at once, as `decode_total` does one.

    Raises:
        ValueError: one of them is not ours.
    """
    if not all(map(bytes.isdigit, values)) or b",0" in b"," + b",".join(values):
        for value in values:
            decode_total(value)


def decode_total(value: bytes) -> int:
    """Read a total as `encode_total` wrote it.

    Raises:
        ValueError: the bytes are not ours.
    """
    if not value.isdigit() or value.startswith(b"0"):
        raise ValueError(f"not a total: {value[:20]!r}")
    return int(value)
