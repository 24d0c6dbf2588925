import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.core.processed_offset import DICTIONARY, INPUT_NEXT_OFFSET, Bookmark, read_bookmark
from stream.core.records import Header

OFFSET: Header = (INPUT_NEXT_OFFSET, b"12")
DIGEST: Header = (DICTIONARY, b"abc")
ANY_BYTES = st.none() | st.binary(max_size=8) | st.integers().map(lambda number: b"%d" % number)


@given(st.integers(0, 2**63 - 1), st.text())
def test_bookmark_survives_its_headers(input_offset: int, dictionary: str) -> None:
    bookmark = Bookmark(input_offset, dictionary)
    assert read_bookmark(bookmark.headers()) == bookmark


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], None),
        ([("traceparent", b"x")], None),
        ([OFFSET], None),
        ([DIGEST], None),
        ([(INPUT_NEXT_OFFSET, None), DIGEST], None),
        ([OFFSET, (DICTIONARY, None)], None),
        ([OFFSET, DIGEST], Bookmark(12, "abc")),
        ([DIGEST, ("x", None), OFFSET], Bookmark(12, "abc")),
        ([(INPUT_NEXT_OFFSET, b"0"), DIGEST], Bookmark(0, "abc")),
        ([(INPUT_NEXT_OFFSET, b"1"), OFFSET, DIGEST], Bookmark(12, "abc")),
    ],
    ids=str,
)
def test_bookmark_is_read_only_where_both_headers_are(
    headers: list[Header], expected: Bookmark | None
) -> None:
    assert read_bookmark(headers) == expected


@pytest.mark.parametrize("offset", [b"", b"x", b"1.5", b"0x10", b"\xff", b"1 2"])
def test_offset_that_is_no_number_is_refused(offset: bytes) -> None:
    with pytest.raises(ValueError, match=r"invalid literal|not an offset"):
        read_bookmark([(INPUT_NEXT_OFFSET, offset), DIGEST])


def test_digest_that_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="utf-8"):
        read_bookmark([OFFSET, (DICTIONARY, b"\xff")])


@given(ANY_BYTES, ANY_BYTES)
@example(b"-5", b"abc")
@example(b" 7", b"abc")
@example(b"1_0", b"abc")
def test_any_headers_give_a_bookmark_that_writes_the_same_none_or_a_value_error(
    offset: bytes | None, dictionary: bytes | None
) -> None:
    headers = [(INPUT_NEXT_OFFSET, offset), (DICTIONARY, dictionary)]
    try:
        bookmark = read_bookmark(headers)
    except ValueError:
        return
    assert (bookmark is None) == (offset is None or dictionary is None)
    assert bookmark is None or (bookmark.input_offset >= 0 and bookmark.headers() == headers)
