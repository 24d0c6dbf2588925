"""Where a refused partition resumes and what is lost, given facts and last outcomes."""

from dataclasses import replace
from itertools import product

import pytest

from stream.core.evidence import COUNTED, CommittedOffset, Evidence, LogEnd
from stream.core.partition_facts import PartitionFacts
from stream.core.processed_offset import ProcessedOffset
from stream.core.skipped import SkippedRange
from stream.errors import Refused
from stream.tools.offsets.plan import (
    LastOutcome,
    LastOutcomes,
    Move,
    exact_offset,
    plan_resume,
    plan_skip,
    refusal_of,
)

NAMES = {"input": "blobs", "result": "results", "count": "counts", "dead-letter": "dead"}
TOPICS = {role: f"id-of-{role}" for role in NAMES}
ENDS = {"result": LogEnd(3, 40), "count": LogEnd(3, 90), "dead-letter": LogEnd(1, 7)}
HELD = {role: end.offset for role, end in ENDS.items()}
DIGEST = "abc"


def own(offset: int, *, topics: dict[str, str] | None = None, digest: str = DIGEST) -> CommittedOffset:
    return CommittedOffset(offset, Evidence(offset, topics or TOPICS, digest, ENDS).encode())


def known(
    committed: CommittedOffset | None,
    processed: int | ProcessedOffset | None,
    first: int = 0,
    end: int = 100,
    held: dict[str, int] = HELD,
) -> PartitionFacts:
    if isinstance(processed, int):
        processed = ProcessedOffset(processed, DIGEST, TOPICS["input"])
    return PartitionFacts(NAMES, 3, TOPICS, DIGEST, committed, processed, first, end, held)


def last(
    result: int | None,
    dead_letter: int | None = None,
    *,
    is_uncounted: bool = False,
    is_certain: bool = True,
) -> LastOutcomes:
    return LastOutcomes(
        LastOutcome(result, result is not None or is_certain),
        LastOutcome(dead_letter, is_certain),
        is_uncounted,
    )


STRANGER, EARLIER = CommittedOffset(8), ProcessedOffset(5, DIGEST)


def resume(facts: PartitionFacts, outcomes: LastOutcomes, *, accept_loss: bool = False) -> Move:
    move = plan_resume(facts, outcomes, accept_loss=accept_loss)
    assert move is not None
    return move


@pytest.mark.parametrize(
    ("facts", "outcomes", "expected"),
    [
        (known(STRANGER, 5), last(4), 5),
        (known(STRANGER, 5), last(2, 4), 5),
        (known(CommittedOffset(2), 5), last(4), 5),
        (known(own(2), 5), last(4), 5),
        (known(None, 5), last(4), 5),
        (known(STRANGER, None), last(None), 0),
        (known(STRANGER, None, first=6), last(None), 6),
        (known(STRANGER, None), last(2, 4, is_uncounted=True), 5),
        (known(None, EARLIER), last(4), 5),
        (known(None, EARLIER), last(4, 6, is_uncounted=True), 7),
        (known(CommittedOffset(7, COUNTED), EARLIER), last(4, 6, is_uncounted=True), 7),
        (known(CommittedOffset(7, COUNTED), EARLIER), last(6, is_uncounted=True, is_certain=False), 7),
        (known(CommittedOffset(8, COUNTED), EARLIER), last(4, 6, is_uncounted=True), 7),
        (known(CommittedOffset(2, COUNTED), EARLIER), last(4), 5),
        (known(CommittedOffset(8, COUNTED), 5), last(4, 7, is_uncounted=True), 8),
        (known(None, 5), last(4, 7, is_uncounted=True), 8),
        (known(own(2), 5, held={**HELD, "count": 89}), last(4), 5),
    ],
    ids=[
        "moved ahead",
        "moved ahead, the last record was rejected",
        "moved back",
        "moved back with its metadata",
        "deleted",
        "stranger on a new group",
        "stranger on a new group, cut by retention",
        "only input without totals, by an earlier version",
        "deleted, of an earlier version",
        "deleted, of an earlier version that rejected the last records",
        "ahead, of an earlier version that rejected the last records",
        "outcomes agree with the offset of an earlier version, so no dead letter can be unknown",
        "last outcomes of an earlier version lost, and no totals",
        "moved back, of an earlier version",
        "an earlier version rejected after this one counted",
        "the same, deleted",
        "moved back with its metadata, and the count topic was compacted since",
    ],
)
def test_partition_resumes_where_totals_and_outcomes_end(
    facts: PartitionFacts, outcomes: LastOutcomes, expected: int
) -> None:
    move = resume(facts, outcomes)
    assert (move.offset, move.skipped, move.loss) == (expected, None, "")


def test_partition_that_a_worker_resumes_is_left_alone() -> None:
    assert plan_resume(known(own(5), 5), last(4), accept_loss=False) is None
    assert plan_resume(known(None, None), last(None), accept_loss=False) is None


FINAL = {
    "another dictionary": (known(own(5, digest="x"), 5), last(4), "another dictionary"),
    "input recreated": (
        known(own(5, topics={**TOPICS, "input": "old"}), 5),
        last(4),
        "blobs is not the same topic",
    ),
    "count topic recreated": (known(own(5, topics={**TOPICS, "count": "old"}), None), last(4), "counts is"),
    "changelog truncated": (known(own(5), 3), last(4), "counts was truncated"),
    "changelog emptied": (known(own(5), None), last(4), "counts has no record"),
    "changelog shorter, offset deleted": (known(None, 3), last(4), "totals are lost"),
    "changelog shorter, stranger": (known(STRANGER, 3), last(2, 4), "totals are lost"),
    "changelog emptied, stranger": (known(STRANGER, None), last(4), "totals are lost"),
    "changelog shorter, earlier version": (known(None, EARLIER), last(6), "totals are lost"),
    "changelog shorter, earlier version ahead": (
        known(CommittedOffset(8, COUNTED), EARLIER),
        last(6, 7),
        "totals are lost",
    ),
    "changelog shorter, both versions": (known(CommittedOffset(8, COUNTED), 5), last(7), "totals are lost"),
    "dead letters of an earlier version not found": (
        known(None, EARLIER),
        last(4, is_certain=False),
        "dead cannot all be read.*unknown how far",
    ),
    "dead letters of an earlier version not found, ahead": (
        known(CommittedOffset(8, COUNTED), EARLIER),
        last(4, 6, is_uncounted=True, is_certain=False),
        "dead cannot all be read.*unknown how far",
    ),
    "later dead letters of an earlier version not found": (
        known(None, 5),
        last(4, 6, is_uncounted=True, is_certain=False),
        "dead cannot all be read.*unknown how far",
    ),
    "beyond the log": (known(None, 5, end=4), last(4), "beyond the end of the log"),
    "deleted by retention": (known(STRANGER, 5, first=7), last(4), "no longer in the log"),
    "results of uncounted input deleted": (
        known(STRANGER, None),
        replace(last(None, is_certain=False), is_checked=False),
        "unknown how far",
    ),
}


@pytest.mark.parametrize("case", FINAL)
def test_lost_totals_are_refused_even_if_a_loss_is_accepted(case: str) -> None:
    facts, outcomes, message = FINAL[case]
    with pytest.raises(Refused, match=message):
        plan_resume(facts, outcomes, accept_loss=True)
    if case not in {"deleted by retention", "beyond the log"}:
        with pytest.raises(Refused, match=message):
            plan_skip(facts, outcomes, facts.end, accept_loss=True)


LOST = {
    "results recreated": (known(own(5, topics={**TOPICS, "result": "old"}), 5), last(None, 4), 0),
    "results truncated": (known(own(5), 5, held={**HELD, "result": 30}), last(2, 4), 3),
    "dead letters truncated": (known(own(5), 5, held={**HELD, "dead-letter": 6}), last(4, 1), 2),
    "results recreated after retention": (
        known(own(9, topics={**TOPICS, "result": "old"}), 9, first=7),
        last(None, 4),
        7,
    ),
    "results truncated, offset deleted": (known(None, 5), last(2), 3),
    "all outcomes lost, offset deleted": (known(None, 5), last(None), 0),
}


@pytest.mark.parametrize("case", LOST)
def test_lost_outcomes_must_be_accepted_and_are_recorded(case: str) -> None:
    facts, outcomes, first = LOST[case]
    with pytest.raises(Refused) as caught:
        plan_resume(facts, outcomes, accept_loss=False)
    assert "--accept-loss" in caught.value.hint
    move = resume(facts, outcomes, accept_loss=True)
    assert facts.processed is not None
    assert move.offset == facts.processed.input_offset
    assert move.skipped == SkippedRange(3, first, move.offset, counted_to=move.offset)
    end = move.offset - 1
    offsets = f"offset {first}" if first == end else f"offsets {first} to {end}"
    assert f"outcomes of the input at {offsets} are lost" in move.loss


def test_topic_that_never_had_a_record_of_the_partition_lost_nothing() -> None:
    evidence = Evidence(
        5, {**TOPICS, "result": "old", "dead-letter": "old"}, DIGEST, {"result": ENDS["result"]}
    )
    facts = known(CommittedOffset(5, evidence.encode()), 5, held={})
    assert resume(facts, last(2), accept_loss=True).skipped == SkippedRange(3, 3, 5, counted_to=5)
    alone = replace(evidence, topics={**TOPICS, "dead-letter": "old"})
    facts = known(CommittedOffset(5, alone.encode()), 5, held=HELD)
    assert plan_resume(facts, last(4), accept_loss=False) is None
    assert plan_skip(facts, last(4), 8, accept_loss=False).skipped == SkippedRange(3, 5, 8)


def test_outcomes_that_retention_may_have_deleted_are_not_called_lost() -> None:
    assert resume(known(None, 5), last(None, is_certain=False)).skipped is None
    assert resume(known(None, 5), last(2, is_certain=False)).skipped is None


def test_ends_of_logs_that_lost_records_are_forgotten() -> None:
    facts = known(own(5), 5, held={**HELD, "result": 30})
    assert resume(facts, last(2), accept_loss=True).ends == {r: e for r, e in ENDS.items() if r != "result"}
    assert resume(known(STRANGER, 5), last(4)).ends == {}


@pytest.mark.parametrize(
    ("facts", "to", "expected"),
    [
        (known(own(5), 5), 8, SkippedRange(3, 5, 8)),
        (known(own(5), 5), 100, SkippedRange(3, 5, 100)),
        (known(STRANGER, 5), 8, SkippedRange(3, 5, 8)),
        (known(STRANGER, None), 8, SkippedRange(3, 0, 8)),
        (known(own(5), 5, first=9), 9, SkippedRange(3, 5, 9)),
        (known(None, 5, first=9), 9, SkippedRange(3, 5, 9)),
    ],
    ids=["accepted", "to the end", "stranger", "stranger on a new group", "retention", "retention, deleted"],
)
def test_skipped_input_is_recorded_from_where_the_totals_end(
    facts: PartitionFacts, to: int, expected: SkippedRange
) -> None:
    outcomes = last(None if facts.processed is None else 4)
    move = plan_skip(facts, outcomes, to, accept_loss=False)
    assert (move.offset, move.skipped) == (expected.end, expected)
    assert f"{expected.end - expected.first} offsets" in move.loss


@pytest.mark.parametrize(("to", "message"), [(5, "nothing to skip"), (3, "nothing"), (101, "not in the log")])
def test_skip_to_an_offset_outside_the_uncounted_input_is_refused(to: int, message: str) -> None:
    with pytest.raises(Refused, match=message):
        plan_skip(known(own(5), 5), last(4), to, accept_loss=False)
    with pytest.raises(Refused, match="not in the log"):
        plan_skip(known(own(5), 5, first=9), last(4), 8, accept_loss=False)


def test_skip_also_covers_lost_outcomes_once_the_loss_is_accepted() -> None:
    facts, outcomes = known(own(5), 5, first=3, held={**HELD, "result": 30}), last(2)
    with pytest.raises(Refused):
        plan_skip(facts, outcomes, 8, accept_loss=False)
    assert plan_skip(facts, outcomes, 8, accept_loss=True).skipped == SkippedRange(3, 3, 8, counted_to=5)


def test_worker_resumes_from_every_planned_offset_and_no_covered_input_is_counted_again() -> None:
    commits = (None, STRANGER, CommittedOffset(2), own(2), own(5), own(8), CommittedOffset(8, COUNTED))
    processed = (None, 2, 5, EARLIER)
    numbers = (None, 1, 4, 6)
    for committed, totals, result, dead_letter, first, is_uncounted in product(
        commits, processed, numbers, numbers, (0, 3, 6), (False, True)
    ):
        facts = known(committed, totals, first)
        outcomes = last(result, dead_letter, is_uncounted=is_uncounted)
        try:
            move = plan_resume(facts, outcomes, accept_loss=True)
            exact = exact_offset(facts, outcomes)
        except Refused:
            continue
        if move is None:
            assert refusal_of(facts) is None
            continue
        assert move.offset == exact
        after = replace(
            facts,
            committed=CommittedOffset(exact, Evidence(exact, TOPICS, DIGEST, move.ends).encode()),
            processed=move.processed,
        )
        assert refusal_of(after) is None
        assert facts.processed is None or facts.processed.input_offset <= exact
        assert outcomes.last is None or outcomes.last < exact
