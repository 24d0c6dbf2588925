import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.core.counts import decode_total, encode_total


@given(st.integers(1, 10**40))
def test_total_survives_encoding(total: int) -> None:
    assert decode_total(encode_total(total)) == total
    assert encode_total(total) == str(total).encode()


@pytest.mark.parametrize("total", [0, -1])
def test_only_positive_totals_are_encoded(total: int) -> None:
    with pytest.raises(AssertionError):
        encode_total(total)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" 1",
        b"1 ",
        b"1\n",
        b"-1",
        b"+1",
        b"1_0",
        b"1.0",
        b"1e3",
        b"x",
        b"\x00",
        b"\xff",
        "\u0663".encode(),
    ],
)
def test_bytes_that_are_not_a_total_are_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="not a total"):
        decode_total(value)


@given(st.binary(max_size=12))
@example(b"0")
@example(b"007")
def test_any_bytes_are_refused_or_equal_to_the_encoded_total(value: bytes) -> None:
    try:
        total = decode_total(value)
    except ValueError:
        return
    assert encode_total(total) == value
