from typing import Annotated, Literal

import pytest
from pydantic import Field, TypeAdapter

from stream.json_lines import Message, decode_line, encode_line


class Started(Message):
    kind: Literal["started"] = "started"


class Ended(Message):
    kind: Literal["ended"] = "ended"
    counts: dict[str, int]
    seconds: float


REPORTS: TypeAdapter[Started | Ended] = TypeAdapter(Annotated[Started | Ended, Field(discriminator="kind")])
ENDED = Ended(counts={"cat": 1, "a\nb": 2}, seconds=1.5)


def test_line_is_read_as_it_was_written() -> None:
    line = encode_line(ENDED)
    assert line.index(b"\n") == len(line) - 1
    assert decode_line(line, Ended) == ENDED
    assert decode_line(line, REPORTS) == ENDED
    assert decode_line(encode_line(Started()), REPORTS) == Started()


@pytest.mark.parametrize(
    "line",
    [
        b"", b"{", b"[]", b"\xff\n", b'{"kind": 1}', b'{"kind": "ended"}', b'{"kind": "started", "x": 1}',
        b'{"kind": "other"}', b'{"kind": "ended", "counts": {}, "seconds": NaN}', b"[" * 100_000,
    ],
    ids=str,
)  # fmt: skip
def test_invalid_lines_are_an_error(line: bytes) -> None:
    for expected in (Ended, REPORTS):
        with pytest.raises(ValueError, match=r".*"):
            decode_line(line, expected)
