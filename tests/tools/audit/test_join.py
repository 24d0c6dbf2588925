from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from stream.core.dictionary import build_index
from stream.core.records import InputRecord
from stream.core.skipped import SkippedRange
from stream.tools.audit.expected import ExpectedOutcomes
from stream.tools.audit.join import PartitionJoin
from stream.tools.audit.outcomes import Bounds, DeadLetter, Result, StoreCopy, hash_content
from stream.tools.audit.verdict import Verdict

INDEX = build_index(["act", "cat", "tac", "god", "dog"])
CAT = {"act": 1, "cat": 1, "tac": 1}
DOG = {"dog": 1, "god": 1}


def record(offset: int, text: str | bytes = "cat") -> InputRecord:
    value = text.encode() if isinstance(text, str) else text
    return InputRecord("in", 0, offset, b"b%d" % offset, value, ())


def result(
    offset: int, input_offset: int, counts: Mapping[str, int] = CAT, partition: int = 0, **other: Any
) -> Result:
    body = {"blob_id": f"b{input_offset}", "words": 1, "anagram_counts": counts, **other}
    return Result(offset, (partition, input_offset), body, b"b%d" % input_offset)


def dead_letter(input_offset: int, reason: str = "undecodable", text: bytes = b"\xff") -> DeadLetter:
    return DeadLetter(input_offset, reason, hash_content(b"b%d" % input_offset, text))


class Audit:
    """Joins one partition in one or more rounds."""

    def __init__(self) -> None:
        self.verdict = Verdict()
        self.join = PartitionJoin(0, ExpectedOutcomes(INDEX, "text", 100), self.verdict)

    def run_round(  # noqa: PLR0913 - the arguments of `advance`
        self,
        inputs: Sequence[InputRecord],
        results: Sequence[Result] = (),
        dead_letters: Sequence[DeadLetter] = (),
        *,
        committed: int | None = None,
        counted_to: int | None = None,
        stores: Sequence[StoreCopy] = (),
        first: int = 0,
    ) -> "Audit":
        end = max((r.offset for r in inputs), default=first - 1) + 1
        bounds = Bounds(
            first,
            end if committed is None else committed,
            end,
            end if counted_to is None else counted_to,
        )
        self.join.advance(bounds, inputs, iter(results), iter(dead_letters), stores)
        return self

    def kinds(self) -> dict[str, int]:
        return {kind: n for kind in Verdict.KINDS if (n := getattr(self.verdict, kind))}


def kinds(*arguments: Any, **named: Any) -> dict[str, int]:
    return Audit().run_round(*arguments, **named).kinds()


def test_one_outcome_per_record_is_not_a_difference() -> None:
    audit = Audit().run_round(
        [record(0), record(3, b"\xff"), record(7, "dog")], [result(0, 0), result(2, 7, DOG)], [dead_letter(3)]
    )
    assert audit.verdict.holds
    assert (audit.verdict.records, audit.verdict.results, audit.verdict.dead_letters) == (3, 2, 1)
    assert audit.join.fold == {"act": 1, "dgo": 1}


def test_input_without_outcome_is_lost_below_the_committed_offset_only() -> None:
    assert kinds([record(0), record(1)], [result(0, 0)]) == {"lost": 1}
    assert kinds([record(0), record(1)], [result(0, 0)], committed=1) == {}


@pytest.mark.parametrize("place", [1, 2])
def test_second_result_is_a_duplicate_wherever_it_lies(place: int) -> None:
    results = [result(0, 0), result(1, 1)]
    results.insert(place, result(9, 0))
    assert kinds([record(0), record(1)], results) == {"duplicated": 1}


def test_result_and_dead_letter_of_one_record_are_two_outcomes() -> None:
    assert kinds([record(0, b"\xff")], [], [dead_letter(0), dead_letter(0)]) == {"duplicated": 1}
    assert kinds([record(0)], [result(0, 0)], [dead_letter(0)]) == {"duplicated": 1}


@pytest.mark.parametrize("source", [5, 99])
def test_result_of_missing_input_is_unknown(source: int) -> None:
    assert kinds([record(0), record(6)], [result(0, 0), result(1, source), result(2, 6)]) == {"unknown": 1}


def test_dead_letter_of_missing_input_is_unknown() -> None:
    assert kinds([record(0), record(6)], [result(0, 0), result(1, 6)], [dead_letter(3)]) == {"unknown": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        result(0, 0, {"cat": 1}),
        result(0, 0, CAT, words=2),
        result(0, 0, CAT, blob_id="another"),
    ],
)
def test_result_with_other_counts_words_or_id_is_wrong(wrong: Result) -> None:
    assert kinds([record(0)], [wrong]) == {"wrong": 1}


def test_result_of_a_record_that_must_be_rejected_is_wrong() -> None:
    assert kinds([record(0, b"\xff")], [result(0, 0)]) == {"wrong": 1}


@pytest.mark.parametrize(
    "wrong", [dead_letter(0, "null-value"), dead_letter(0, text=b"\xfe"), DeadLetter(0, "undecodable", 1)]
)
def test_dead_letter_with_another_reason_key_or_value_is_wrong(wrong: DeadLetter) -> None:
    assert kinds([record(0, b"\xff")], [], [wrong]) == {"wrong": 1}


def test_dead_letter_that_was_shortened_or_whose_retries_were_exhausted_is_right() -> None:
    assert kinds([record(0, b"\xff")], [], [DeadLetter(0, "undecodable", None)]) == {}
    assert kinds([record(0)], [], [dead_letter(0, "retries-exhausted", b"cat")]) == {}


def test_results_out_of_order_and_on_another_partition_are_misplaced() -> None:
    swapped = [result(0, 1), result(1, 0)]
    assert kinds([record(0), record(1)], swapped) == {"misplaced": 1}
    assert kinds([record(0)], [result(0, 0), result(1, 0, partition=3)]) == {"misplaced": 1}


def test_outcomes_of_input_that_retention_deleted_are_not_a_difference() -> None:
    assert kinds([record(5)], [result(0, 2), result(1, 5)], [dead_letter(3)], first=5) == {}


def test_totals_equal_the_sum_over_the_input_that_they_cover() -> None:
    audit = Audit().run_round(
        [record(0), record(1), record(2)], [result(n, n) for n in range(3)], counted_to=2
    )
    assert audit.join.differing({b"act": b"2"}) == []
    totals = {b"act": b"3", b"dgo": b"1"}
    assert audit.join.differing(totals) == [b"act", b"dgo"]
    audit.join.compare("counts", "totals", totals, {b"dgo"})
    assert audit.verdict.totals == 1
    sentence = "counts: the total of act on partition 0 is 3, but the input sums to 2 (+1)"
    assert sentence in audit.verdict.differences


def test_outcomes_that_retention_deleted_are_not_lost() -> None:
    audit = Audit()
    inputs = [record(0), record(1, b"\xff"), record(2)]
    audit.join.advance(
        Bounds(0, 3, 3, 3, outcomes_from=2, dead_letters_truncated=True),
        inputs,
        iter([result(9, 2)]),
        iter(()),
    )
    assert (audit.kinds(), audit.verdict.partitions[0].not_checked) == ({}, 2)
    audit = Audit()
    audit.join.advance(Bounds(0, 2, 2, 2, dead_letters_truncated=True), inputs[:2], iter(()), iter(()))
    assert (audit.kinds(), audit.verdict.partitions[0].not_checked) == ({"lost": 1}, 1)


def test_input_that_no_transaction_counted_is_lost_whatever_retention_deleted() -> None:
    audit = Audit()
    inputs = [record(0), record(1, b"\xff"), record(2), record(3, b"\xff")]
    bounds = Bounds(0, 4, 4, 4, outcomes_from=4, dead_letters_truncated=True, not_counted_from=2)
    audit.join.advance(bounds, inputs, iter(()), iter(()))
    assert (audit.kinds(), audit.verdict.partitions[0].not_checked) == ({"lost": 2}, 2)


def test_lost_input_is_one_line_for_consecutive_records() -> None:
    inputs = [record(n) for n in (0, 2, 4, 7, 8, 9)]
    audit = Audit().run_round(inputs, [result(0, 2), result(1, 8)])
    assert audit.kinds() == {"lost": 4}
    assert audit.verdict.differences == [
        "partition 0: input 0: no result and no dead letter",
        "partition 0: input 4 to 7 (2 records): no result and no dead letter",
        "partition 0: input 9: no result and no dead letter",
    ]


def test_range_of_lost_input_continues_in_the_next_round() -> None:
    audit = Audit().run_round([record(0), record(1)]).run_round([record(2)])
    assert audit.verdict.differences == [
        "partition 0: input 0 to 2 (3 records): no result and no dead letter"
    ]


def test_wrong_results_are_one_line_with_their_first_offset() -> None:
    results = [result(10 + n, n, {"cat": 9}) for n in range(3)]
    what = "the result does not match its text (from offset 10 of the result topic)"
    verdict = Audit().run_round([record(n) for n in range(3)], results).verdict
    assert verdict.differences == [f"partition 0: input 0 to 2 (3 records): {what}"]


def test_skipped_input_without_outcome_is_accepted_below_the_committed_offset_only() -> None:
    audit = Audit()
    inputs = [record(n) for n in range(7)]
    bounds = Bounds(0, 5, 7, 7, skipped=[SkippedRange(0, 2, 6)])
    audit.join.advance(bounds, inputs, iter([result(0, 0), result(1, 3)]), iter(()))
    report = audit.verdict.partitions[0]
    assert audit.kinds() == {"lost": 1}
    assert (report.skipped, report.pending, report.checked) == (2, 2, 3)
    assert audit.verdict.skipped_ranges == [
        "partition 0: input 2: skipped deliberately",
        "partition 0: input 4: skipped deliberately",
    ]


def test_skipped_input_whose_outcomes_were_lost_is_in_the_totals() -> None:
    audit = Audit()
    bounds = Bounds(0, 4, 4, 4, skipped=[SkippedRange(0, 0, 3, counted_to=2)])
    audit.join.advance(bounds, [record(n) for n in range(4)], iter([result(0, 3)]), iter(()))
    assert audit.kinds() == {}
    assert audit.verdict.partitions[0].skipped == 3
    assert set(audit.join.fold.values()) == {3}, "input 0, 1 and 3"


def test_input_that_awaits_its_outcome_is_pending_and_not_checked() -> None:
    audit = Audit().run_round([record(0), record(1)], [result(0, 0)], committed=1)
    report = audit.verdict.partitions[0]
    assert (report.records, report.checked, report.pending) == (2, 1, 1)
    audit.run_round([record(2)], [result(1, 1), result(2, 2)])
    assert (report.records, report.checked, report.pending) == (3, 3, 0)


def test_lost_records_above_the_limit_of_pending_ones_are_lost_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.tools.audit.join.PENDING_RECORDS_MAX", 2)
    assert kinds([record(n) for n in range(5)]) == {"lost": 5}


def test_input_whose_outcome_is_committed_later_is_joined_in_the_next_round() -> None:
    audit = Audit().run_round([record(0), record(1)], [result(0, 0)], committed=1, counted_to=1)
    audit.run_round([record(2)], [result(1, 1), result(2, 2)])
    assert audit.kinds() == {}
    assert audit.join.fold == {"act": 3}


def test_input_that_is_committed_without_an_outcome_is_lost_in_the_next_round() -> None:
    audit = Audit().run_round([record(0)], committed=0)
    audit.run_round([record(1)], [result(0, 1)])
    assert audit.kinds() == {"lost": 1}


@pytest.mark.parametrize(
    ("offset", "total", "differ"), [(1, b"1", False), (3, b"3", False), (2, b"3", True), (9, b"3", True)]
)
def test_store_is_compared_with_the_totals_at_its_offset(offset: int, total: bytes, differ: bool) -> None:  # noqa: FBT001
    stores = [StoreCopy("store", offset, 0, {b"act": total})]
    inputs = [record(n) for n in range(3)]
    differences = kinds(inputs, [result(n, n) for n in range(3)], stores=stores)
    assert differences == ({"stores": 1} if differ else {})


def test_each_compared_store_is_counted() -> None:
    stores = [StoreCopy(name, offset, 0, {}) for name, offset in (("empty", 0), ("ahead", 9))]
    audit = Audit().run_round([record(0)], [result(0, 0)], stores=stores)
    assert audit.verdict.partitions[0].stores_compared == 2
    assert audit.kinds() == {"stores": 1}
