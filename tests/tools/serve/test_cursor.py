import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.tools.serve.cursor import decode_cursor, encode_cursor

TAG = "0a1b2c3d"
LOGS = st.tuples(st.sampled_from([b"r", b"d"]), st.integers(0, 10**6))


@given(st.dictionaries(LOGS, st.integers(0, 10**15), max_size=20))
def test_positions_survive_encoding(positions: dict[tuple[bytes, int], int]) -> None:
    assert decode_cursor(TAG, encode_cursor(TAG, positions)) == positions


@pytest.mark.parametrize(
    "text",
    ["", "x", TAG + ".x0-1", TAG + ".r0", TAG + ".r-1-1", "ffffffff.r0-1", TAG + ".r0-1\n", TAG + "r0-1"],
)
def test_other_text_and_positions_of_other_topics_are_not_a_cursor(text: str) -> None:
    assert decode_cursor(TAG, text) is None
