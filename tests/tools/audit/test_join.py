from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from stream.core.dictionary import build_index
from stream.core.records import InputRecord
from stream.tools.audit.join import PartitionJoin
from stream.tools.audit.judge import Judge
from stream.tools.audit.outcomes import Bounds, Letter, Result, StoreCopy, content_of
from stream.tools.audit.verdict import Verdict

INDEX = build_index(["act", "cat", "tac", "god", "dog"])
CAT = {"act": 1, "cat": 1, "tac": 1}
DOG = {"dog": 1, "god": 1}


def record(offset: int, text: str | bytes = "cat") -> InputRecord:
    value = text.encode() if isinstance(text, str) else text
    return InputRecord("in", 0, offset, b"b%d" % offset, value, ())


def result(at: int, offset: int, counts: Mapping[str, int] = CAT, partition: int = 0, **other: Any) -> Result:
    body = {"blob_id": f"b{offset}", "words": 1, "anagram_counts": counts, **other}
    return Result(at, (partition, offset), body, b"b%d" % offset)


def letter(offset: int, reason: str = "undecodable", text: bytes = b"\xff") -> Letter:
    return Letter(offset, reason, content_of(b"b%d" % offset, text))


class Audit:
    """One partition, joined in one round or several."""

    def __init__(self) -> None:
        self.verdict = Verdict()
        self.join = PartitionJoin(0, Judge(INDEX, "text", 100), self.verdict)

    def round(  # noqa: PLR0913 - what a round is given
        self,
        inputs: Sequence[InputRecord],
        results: Sequence[Result] = (),
        letters: Sequence[Letter] = (),
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
        self.join.advance(bounds, inputs, iter(results), iter(letters), stores)
        return self

    def kinds(self) -> dict[str, int]:
        return {kind: n for kind in Verdict.KINDS if (n := getattr(self.verdict, kind))}


def kinds(*arguments: Any, **named: Any) -> dict[str, int]:
    return Audit().round(*arguments, **named).kinds()


def test_one_outcome_each_is_no_difference() -> None:
    audit = Audit().round(
        [record(0), record(3, b"\xff"), record(7, "dog")], [result(0, 0), result(2, 7, DOG)], [letter(3)]
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
    assert kinds([record(0, b"\xff")], [], [letter(0), letter(0)]) == {"duplicated": 1}
    assert kinds([record(0)], [result(0, 0)], [letter(0)]) == {"duplicated": 1}


@pytest.mark.parametrize("source", [5, 99])
def test_outcome_of_what_is_not_there_is_unknown(source: int) -> None:
    assert kinds([record(0), record(6)], [result(0, 0), result(1, source), result(2, 6)]) == {"unknown": 1}


def test_dead_letter_of_what_is_not_there_is_unknown() -> None:
    assert kinds([record(0), record(6)], [result(0, 0), result(1, 6)], [letter(3)]) == {"unknown": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        result(0, 0, {"cat": 1}),
        result(0, 0, CAT, words=2),
        result(0, 0, CAT, blob_id="another"),
    ],
)
def test_result_that_says_something_else_is_wrong(wrong: Result) -> None:
    assert kinds([record(0)], [wrong]) == {"wrong": 1}


def test_result_of_what_is_to_be_rejected_is_wrong() -> None:
    assert kinds([record(0, b"\xff")], [result(0, 0)]) == {"wrong": 1}


@pytest.mark.parametrize(
    "wrong", [letter(0, "null-value"), letter(0, text=b"\xfe"), Letter(0, "undecodable", 1)]
)
def test_dead_letter_with_another_reason_or_record_is_wrong(wrong: Letter) -> None:
    assert kinds([record(0, b"\xff")], [], [wrong]) == {"wrong": 1}


def test_dead_letter_that_was_shortened_or_of_the_moment_is_right() -> None:
    assert kinds([record(0, b"\xff")], [], [Letter(0, "undecodable", None)]) == {}
    assert kinds([record(0)], [], [letter(0, "retries-exhausted", b"cat")]) == {}


def test_results_out_of_order_and_on_another_partition_are_misplaced() -> None:
    swapped = [result(0, 1), result(1, 0)]
    assert kinds([record(0), record(1)], swapped) == {"misplaced": 1}
    assert kinds([record(0)], [result(0, 0), result(1, 0, partition=3)]) == {"misplaced": 1}


def test_outcomes_of_input_that_retention_took_are_no_difference() -> None:
    assert kinds([record(5)], [result(0, 2), result(1, 5)], [letter(3)], first=5) == {}


def test_totals_are_the_fold_up_to_where_they_stand() -> None:
    audit = Audit().round([record(0), record(1), record(2)], [result(n, n) for n in range(3)], counted_to=2)
    assert audit.join.differing({b"act": b"2"}) == []
    found = {b"act": b"3", b"dgo": b"1"}
    assert audit.join.differing(found) == [b"act", b"dgo"]
    audit.join.compare("counts", "totals", found, {b"dgo"})
    assert audit.verdict.totals == 1
    assert "counts: the total of act on partition 0 is 3, the input gives 2, +1" in audit.verdict.differences


def test_outcomes_that_retention_took_are_not_lost() -> None:
    audit = Audit()
    inputs = [record(0), record(1, b"\xff"), record(2)]
    audit.join.advance(
        Bounds(0, 3, 3, 3, outcomes_from=2, letters_cut=True), inputs, iter([result(9, 2)]), iter(())
    )
    assert (audit.kinds(), audit.join.unjudged) == ({}, 2)
    audit = Audit()
    audit.join.advance(Bounds(0, 2, 2, 2, letters_cut=True), inputs[:2], iter(()), iter(()))
    assert (audit.kinds(), audit.join.unjudged) == ({"lost": 1}, 1)


def test_lost_records_beyond_what_is_kept_are_lost_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.tools.audit.join.MISSING_MAX", 2)
    assert kinds([record(n) for n in range(5)]) == {"lost": 5}


def test_input_whose_outcome_came_later_is_joined_in_the_next_round() -> None:
    audit = Audit().round([record(0), record(1)], [result(0, 0)], committed=1, counted_to=1)
    audit.round([record(2)], [result(1, 1), result(2, 2)])
    assert audit.kinds() == {}
    assert audit.join.fold == {"act": 3}


def test_input_whose_outcome_never_came_is_lost_in_the_next_round() -> None:
    audit = Audit().round([record(0)], committed=0)
    audit.round([record(1)], [result(0, 1)])
    assert audit.kinds() == {"lost": 1}


@pytest.mark.parametrize(
    ("offset", "total", "differ"), [(1, b"1", False), (3, b"3", False), (2, b"3", True), (9, b"3", True)]
)
def test_store_is_compared_where_it_stands(offset: int, total: bytes, differ: bool) -> None:  # noqa: FBT001
    stores = [StoreCopy("store", offset, {b"act": total})]
    inputs = [record(n) for n in range(3)]
    found = kinds(inputs, [result(n, n) for n in range(3)], stores=stores)
    assert found == ({"stores": 1} if differ else {})
