"""An outcome that differs under the current settings is accepted if a changed setting explains it."""

import pytest

from stream.core.codec import decode_blob, read_text_limit
from stream.core.dictionary import build_index
from stream.core.records import InputRecord
from stream.errors import Reason, Rejected
from stream.tools.audit.expected import ExpectedOutcomes, InputFormat

INDEX = build_index(["cat", "act"])


def record(value: bytes) -> InputRecord:
    return InputRecord("blobs", 0, 7, b"k", value)


def expected(input_format: InputFormat = "text", text_bytes_max: int = 100) -> ExpectedOutcomes:
    return ExpectedOutcomes(INDEX, input_format, text_bytes_max)


@pytest.mark.parametrize(
    ("value", "reason", "limit", "explained"),
    [
        (b"cat " * 5, Reason.TEXT_TOO_LARGE, 10, True),
        (b"cat " * 5, Reason.TEXT_TOO_LARGE, 20, False),  # 20 bytes did not exceed that limit
        (b"cat " * 5, Reason.TEXT_TOO_LARGE, None, False),  # the dead letter names no limit
        (b"cat", Reason.BAD_JSON, None, True),  # the input was JSON
        (b'{"text": 1}', Reason.WRONG_SHAPE, None, True),
        (b'{"text": "cat"}', Reason.WRONG_SHAPE, None, False),
        (b"\xff" * 200, Reason.UNDECODABLE, None, True),  # too large under the current limit
        (b"cat", Reason.UNDECODABLE, None, False),
        (b"cat", Reason.NULL_VALUE, None, False),
    ],
)
def test_rejection_is_explained_only_by_a_setting_that_gives_it(
    value: bytes,
    reason: Reason,
    limit: int | None,
    explained: bool,  # noqa: FBT001
) -> None:
    assert expected().is_explained(record(value), reason.value, limit) == explained


def test_result_of_a_text_that_exceeds_the_current_limit_is_explained() -> None:
    outcomes = expected(text_bytes_max=2)
    large = record(b"cat")
    assert outcomes.of(large) is Reason.TEXT_TOO_LARGE
    ((blob_id, decision), *_) = outcomes.explanations(large, Reason.TEXT_TOO_LARGE)
    assert (blob_id, decision.anagram_counts) == ("k", {"act": 1, "cat": 1})
    assert outcomes.explanations(large, Reason.UNDECODABLE) == []


def test_message_of_a_rejection_names_the_limit() -> None:
    with pytest.raises(Rejected) as rejected:
        decode_blob(record(b"cat"), "text", 2)
    assert read_text_limit(rejected.value.detail) == 2
    assert read_text_limit("the text has many bytes") is None
