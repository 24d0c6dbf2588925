import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.core.processed_offset import DIGEST as DIGEST_HEADER
from stream.core.processed_offset import INPUT_NEXT_OFFSET, ProcessedOffset, read_processed_offset
from stream.core.records import Header

OFFSET: Header = (INPUT_NEXT_OFFSET, b"12")
DIGEST: Header = (DIGEST_HEADER, b"abc")
ANY_BYTES = st.none() | st.binary(max_size=8) | st.integers().map(lambda number: b"%d" % number)


@given(st.integers(0, 2**63 - 1), st.text())
def test_processed_offset_survives_its_headers(input_offset: int, digest: str) -> None:
    processed_offset = ProcessedOffset(input_offset, digest)
    assert read_processed_offset(processed_offset.headers()) == processed_offset


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], None),
        ([("traceparent", b"x")], None),
        ([OFFSET], None),
        ([DIGEST], None),
        ([(INPUT_NEXT_OFFSET, None), DIGEST], None),
        ([OFFSET, (DIGEST_HEADER, None)], None),
        ([OFFSET, DIGEST], ProcessedOffset(12, "abc")),
        ([DIGEST, ("x", None), OFFSET], ProcessedOffset(12, "abc")),
        ([(INPUT_NEXT_OFFSET, b"0"), DIGEST], ProcessedOffset(0, "abc")),
        ([(INPUT_NEXT_OFFSET, b"1"), OFFSET, DIGEST], ProcessedOffset(12, "abc")),
    ],
    ids=str,
)
def test_processed_offset_is_read_only_if_both_headers_are_present(
    headers: list[Header], expected: ProcessedOffset | None
) -> None:
    assert read_processed_offset(headers) == expected


@pytest.mark.parametrize("offset", [b"", b"x", b"1.5", b"0x10", b"\xff", b"1 2"])
def test_offset_that_is_not_a_number_is_refused(offset: bytes) -> None:
    with pytest.raises(ValueError, match=r"invalid literal|not an offset"):
        read_processed_offset([(INPUT_NEXT_OFFSET, offset), DIGEST])


def test_digest_that_is_not_text_is_refused() -> None:
    with pytest.raises(ValueError, match="utf-8"):
        read_processed_offset([OFFSET, (DIGEST_HEADER, b"\xff")])


@given(ANY_BYTES, ANY_BYTES)
@example(b"-5", b"abc")
@example(b" 7", b"abc")
@example(b"1_0", b"abc")
def test_any_headers_give_none_a_value_error_or_a_processed_offset_with_these_headers(
    offset: bytes | None, digest: bytes | None
) -> None:
    headers = [(INPUT_NEXT_OFFSET, offset), (DIGEST_HEADER, digest)]
    try:
        processed_offset = read_processed_offset(headers)
    except ValueError:
        return
    assert (processed_offset is None) == (offset is None or digest is None)
    assert processed_offset is None or (
        processed_offset.input_offset >= 0 and processed_offset.headers() == headers
    )
