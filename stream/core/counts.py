"""Encodes and decodes the total of a signature in the format of the count topic and the store."""

from collections.abc import Collection


def encode_total(total: int) -> bytes:
    """Return a total in the format of the count topic and the store: decimal ASCII.

    This is the definition; `SignatureTotals` encodes many totals at once.
    """
    assert total > 0
    return b"%d" % total


def check_totals(values: Collection[bytes]) -> None:
    """Check many totals at once, as `decode_total` checks one.

    Raises:
        ValueError: a value is not a total.
    """
    if not all(map(bytes.isdigit, values)) or b",0" in b"," + b",".join(values):
        for value in values:
            decode_total(value)


def decode_total(value: bytes) -> int:
    """Decode a total that `encode_total` encoded.

    Raises:
        ValueError: the bytes are not a total.
    """
    if not value.isdigit() or value.startswith(b"0"):
        raise ValueError(f"not a total: {value[:20]!r}")
    return int(value)
