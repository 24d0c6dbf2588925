"""The rule for where a partition resumes, over all combinations of commit, changelog and logs."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.evidence import COUNTED, CommittedOffset, Evidence, LogEnd
from stream.core.partition_facts import PartitionFacts
from stream.core.processed_offset import ProcessedOffset
from stream.core.resume import resume_offset
from stream.errors import Refused

NAMES = {"input": "blobs", "result": "results", "count": "counts", "dead-letter": "dead"}
TOPICS = {role: f"id-of-{role}" for role in NAMES}
ENDS = {"result": LogEnd(3, 40), "count": LogEnd(3, 90), "dead-letter": LogEnd(1, 7)}
PRESENT_ENDS = {role: end.offset for role, end in ENDS.items()}
DIGEST = "abc"


def commit(offset: int, *, topics: dict[str, str] | None = None, digest: str = DIGEST) -> CommittedOffset:
    return CommittedOffset(offset, Evidence(offset, topics or TOPICS, digest, ENDS).encode())


def facts(
    committed: CommittedOffset | None, processed: int | ProcessedOffset | None, first: int = 0, end: int = 100
) -> PartitionFacts:
    if isinstance(processed, int):
        processed = ProcessedOffset(processed, DIGEST, TOPICS["input"])
    return PartitionFacts(NAMES, 3, TOPICS, DIGEST, committed, processed, first, end, PRESENT_ENDS)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (facts(None, None), 0),
        (facts(None, None, first=7), 7),
        (facts(commit(5), 5), 5),
        (facts(commit(5), 5, first=5), 5),
        (facts(commit(100), 100), 100),
        (facts(CommittedOffset(5, COUNTED), 5), 5),
    ],
    ids=["new", "new, after retention", "agreed", "first", "end", "earlier version"],
)
def test_partition_resumes_where_commit_and_changelog_agree(known: PartitionFacts, expected: int) -> None:
    assert resume_offset(known) == expected


OTHER_INPUT = {**TOPICS, "input": "id-of-old"}
OTHER_COUNT = {**TOPICS, "count": "id-of-old"}
OTHER_RESULT = {**TOPICS, "result": "id-of-old"}
OTHER_DEAD_LETTER = {**TOPICS, "dead-letter": "id-of-old"}
RESUME, SKIP, START_OVER = "offsets resume", "offsets skip --partition 3", "start over under new names"
REFUSALS = {
    "offset expired": (facts(None, 5), "no committed offset.* before offset 5; .*twice", RESUME),
    "offset moved ahead": (
        facts(CommittedOffset(8), 5),
        "8 was not written by this application.*skip the input from 5 to before 8",
        f"{RESUME}.*{SKIP} --to 8",
    ),
    "offset moved back by a stranger": (
        facts(CommittedOffset(2), 5),
        "2 was not written by this application.*count the input from 2 to before 5 twice",
        RESUME,
    ),
    "stranger commits the same offset": (facts(CommittedOffset(5, "me"), 5), "not written", RESUME),
    "stranger on a new group": (
        facts(CommittedOffset(8), None),
        "skip the input from 0 to before 8",
        f"{RESUME}.*{SKIP} --to 8",
    ),
    "metadata copied to another offset": (
        facts(CommittedOffset(8, commit(5).metadata), 5),
        "8 was not written by this application",
        RESUME,
    ),
    "offset moved back with its metadata": (facts(commit(2), 5), "2 is below 5.*twice", RESUME),
    "offset of an earlier version moved back": (
        facts(CommittedOffset(2, COUNTED), 5),
        "2 is below 5",
        RESUME,
    ),
    "earlier version, more than its totals": (
        facts(CommittedOffset(8, COUNTED), ProcessedOffset(5, DIGEST)),
        "earlier version committed offset 8, but the totals cover the input before offset 5",
        RESUME,
    ),
    "changelog emptied": (facts(commit(5), None), "counts has no record", START_OVER),
    "changelog emptied, earlier version": (
        facts(CommittedOffset(5, COUNTED), None),
        "counts has no record",
        START_OVER,
    ),
    "offset and totals lost": (
        replace(facts(None, None), has_outcomes=True),
        "results or dead has records of this partition, .* no committed offset and counts no totals.*twice",
        START_OVER,
    ),
    "changelog truncated": (
        facts(commit(5), 3),
        "counts was truncated.*before offset 3.*offset 5",
        START_OVER,
    ),
    "changelog shorter than committed": (
        replace(facts(commit(5), 5), output_ends={**PRESENT_ENDS, "count": 89}),
        "counts was truncated",
        START_OVER,
    ),
    "results truncated": (
        replace(facts(commit(5), 5), output_ends={**PRESENT_ENDS, "result": 30}),
        "results, partition 3, no longer contains the committed record before offset 40.*truncated to",
        f"{RESUME} --accept-loss",
    ),
    "dead letters truncated": (
        replace(facts(commit(5), 5), output_ends={**PRESENT_ENDS, "dead-letter": 6}),
        "dead, partition 1, no longer contains the committed record before offset 7",
        f"{RESUME} --accept-loss",
    ),
    "input truncated": (facts(commit(5), 5, end=4), "5 is beyond the end of the log, 4", START_OVER),
    "input truncated and grown": (
        replace(facts(commit(5), 5), is_truncated=True),
        "truncated below the committed offset 5 and has grown again",
        START_OVER,
    ),
    "input deleted by retention": (
        facts(commit(5), 5, first=9),
        "no longer in the log, which begins at 9.*from 5 to before 9 was never counted",
        f"{SKIP} --to 9",
    ),
    "input recreated": (
        facts(commit(5, topics=OTHER_INPUT), 5),
        "blobs is not the same topic as before",
        START_OVER,
    ),
    "input recreated, offsets deleted": (
        facts(None, ProcessedOffset(5, DIGEST, "id-of-old")),
        "blobs is not the same topic as before",
        START_OVER,
    ),
    "count topic recreated": (
        facts(commit(5, topics=OTHER_COUNT), None),
        "counts is not the same topic.*the input before offset 5",
        START_OVER,
    ),
    "result topic recreated": (
        facts(commit(5, topics=OTHER_RESULT), 5),
        "results is not the same topic as before",
        f"{RESUME} --accept-loss",
    ),
    "dead-letter topic recreated": (
        facts(commit(5, topics=OTHER_DEAD_LETTER), 5),
        "dead is not the same topic.* STREAM_DEAD_LETTER_TOPIC",
        f"{RESUME} --accept-loss",
    ),
    "dictionary of the commit": (
        facts(commit(5, digest="x"), 5),
        "another dictionary.*x, not abc",
        "STREAM_D",
    ),
    "dictionary of the changelog": (
        facts(commit(5), ProcessedOffset(5, "x")),
        "another dictionary",
        "STREAM_DICTIONARY",
    ),
}


@pytest.mark.parametrize("accident", REFUSALS)
def test_refusal_states_what_happened_and_the_command_that_fixes_it(accident: str) -> None:
    known, message, hint = REFUSALS[accident]
    with pytest.raises(Refused, match=message) as caught:
        resume_offset(known)
    assert str(caught.value).startswith("blobs, partition 3: ")
    with pytest.raises(Refused, match=hint):
        raise Refused(caught.value.hint, "")


def assert_rule_holds(known: PartitionFacts) -> None:
    """Resuming is allowed only if nothing is counted twice, left out or forgotten."""
    try:
        offset = resume_offset(known)
    except Refused:
        is_new = known.committed is None and known.processed is None
        assert not is_new or known.has_outcomes, "a new group always starts"
        return
    assert known.first <= offset <= known.end, "the log contains the next input"
    if known.committed is None:
        assert known.processed is None
        assert offset == known.first
        return
    assert offset == known.committed.offset, "input resumes only at the committed offset"
    assert known.processed is not None, "every commit has a record in the changelog"
    assert known.processed.digest == known.digest
    assert known.processed.input_topic in {None, known.topics["input"]}
    evidence = known.evidence
    if evidence is None:
        assert known.is_of_earlier_version
        assert known.processed.input_offset == offset
        return
    assert known.processed.input_offset == offset
    for role in ("input", "count", *evidence.ends):
        assert evidence.topics[role] == known.topics[role]
    assert evidence.digest == known.digest
    assert all(known.output_ends[role] >= end.offset for role, end in evidence.ends.items())


OFFSETS = (0, 2, 5)
METADATA = ("", COUNTED, "own", "copied", "recreated", "another dictionary")


def committed_of(offset: int | None, metadata: str) -> CommittedOffset | None:
    if offset is None:
        return None
    own = {
        "own": commit(offset),
        "copied": replace(commit(offset + 1), offset=offset),
        "recreated": commit(offset, topics=OTHER_RESULT),
        "another dictionary": commit(offset, digest="x"),
    }
    return own.get(metadata, CommittedOffset(offset, metadata))


def test_rule_holds_for_all_small_combinations() -> None:
    combinations = product(
        (None, *OFFSETS), METADATA, (None, *OFFSETS), OFFSETS, (0, 1, 5), (40, 39), (90, 89)
    )
    for offset, metadata, processed, first, length, results, counts in combinations:
        known = facts(committed_of(offset, metadata), processed, first, first + length)
        assert_rule_holds(replace(known, output_ends={"result": results, "count": counts, "dead-letter": 7}))


offsets = st.integers(0, 200)


@given(
    st.none() | st.builds(committed_of, offsets, st.sampled_from(METADATA)),
    st.none()
    | st.builds(
        ProcessedOffset, offsets, st.sampled_from((DIGEST, "x")), st.sampled_from((None, *TOPICS.values()))
    ),
    offsets,
    offsets,
    st.fixed_dictionaries({role: st.integers(0, 100) for role in ENDS}),
    st.fixed_dictionaries({role: st.sampled_from((topic_id, "new")) for role, topic_id in TOPICS.items()}),
)
def test_rule_holds_for_any_facts(  # noqa: PLR0913, PLR0917 - the known facts
    committed: CommittedOffset | None,
    processed: ProcessedOffset | None,
    first: int,
    length: int,
    ends: dict[str, int],
    topics: dict[str, str],
) -> None:
    assert_rule_holds(
        PartitionFacts(NAMES, 3, topics, DIGEST, committed, processed, first, first + length, ends)
    )
