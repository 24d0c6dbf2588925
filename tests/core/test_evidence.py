"""The evidence in the metadata of a committed offset."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.evidence import (
    COUNTED,
    Appended,
    CommittedOffset,
    Evidence,
    LogEnd,
    advance_ends,
    read_evidence,
)
from stream.errors import LogsChanged

OFFSET_MAX = 2**63 - 1
METADATA_BYTES_MAX = 4096  # offset.metadata.max.bytes
ROLES = ("input", "result", "count", "dead-letter")
ends = st.dictionaries(
    st.sampled_from(ROLES[1:]),
    st.builds(
        LogEnd,
        st.integers(0, 100_000),
        st.integers(0, OFFSET_MAX),
        st.integers(0, 2**32 - 1),
        st.integers(-1, 2**31 - 1),
    ),
)
evidences = st.builds(
    Evidence,
    st.integers(0, OFFSET_MAX),
    st.fixed_dictionaries({role: st.text(max_size=40) for role in ROLES}),
    st.text(),
    ends,
)


@given(evidences)
def test_evidence_survives_its_metadata(evidence: Evidence) -> None:
    assert read_evidence(evidence.encode()) == evidence


def test_evidence_is_far_below_the_limit_of_kafka() -> None:
    full = Evidence(
        OFFSET_MAX,
        dict.fromkeys(ROLES, "x" * 22),
        "0123456789abcdef",
        dict.fromkeys(ROLES[1:], LogEnd(99_999, OFFSET_MAX, 2**32 - 1, 2**31 - 1)),
    )
    assert len(full.encode()) < METADATA_BYTES_MAX / 8


@given(st.none() | st.text() | st.from_regex(r'\{"anagram-stream":.*\}', fullmatch=True))
def test_foreign_metadata_is_not_evidence(metadata: str | None) -> None:
    assert read_evidence(metadata) is None


@pytest.mark.parametrize(
    "metadata", ["", COUNTED, "{}", "[]", "1", '{"anagram-stream":1}', '{"anagram-stream":2}']
)
def test_unknown_metadata_is_not_evidence(metadata: str) -> None:
    assert read_evidence(metadata) is None


def test_evidence_counts_only_for_its_own_offset() -> None:
    metadata = Evidence(5, {}, "d").encode()
    assert CommittedOffset(5, metadata).evidence is not None
    assert CommittedOffset(6, metadata).evidence is None


def test_end_of_a_log_advances_with_appended_records() -> None:
    known = {"count": LogEnd(0, 10, 77, 3), "result": LogEnd(0, 4)}
    assert advance_ends(known, {"count": Appended(0, 3, 14, 88)}) == {
        "count": LogEnd(0, 14, 88, 3),
        "result": LogEnd(0, 4),
    }


@pytest.mark.parametrize("end", [3, 9, 12])
def test_log_that_ends_too_early_for_the_new_records_has_lost_some(end: int) -> None:
    with pytest.raises(LogsChanged, match=r"count topic, partition 0: .* had already reached 10"):
        advance_ends({"count": LogEnd(0, 10)}, {"count": Appended(0, 3, end)})


def test_dead_letters_may_move_to_another_partition() -> None:
    known = {"dead-letter": LogEnd(0, 10)}  # the dead-letter topic has more partitions than before
    assert advance_ends(known, {"dead-letter": Appended(4, 1, 1)}) == {"dead-letter": LogEnd(4, 1)}


def test_first_transaction_is_not_split_between_two_topics() -> None:
    with pytest.raises(LogsChanged):
        advance_ends({}, {"count": Appended(0, 4, 1)})
