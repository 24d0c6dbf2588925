from types import SimpleNamespace
from typing import Any

import pytest

from stream.tools.offsets import facts


def reads(monkeypatch: pytest.MonkeyPatch, *partitions_without_commit: set[int]) -> list[int]:
    """Let each read see outcomes without a commit on some of three partitions; return those read last."""
    remaining = list(partitions_without_commit)

    def read(*_: Any) -> list[Any]:
        seen = remaining.pop(0)
        return [SimpleNamespace(partition=number, has_outcomes=number in seen) for number in range(3)]

    monkeypatch.setattr(facts, "_read_facts", read)
    last: Any = facts.read_facts(None, None, None, "")  # type: ignore[arg-type]
    assert not remaining, "fewer reads than expected"
    return [each.partition for each in last if each.has_outcomes]


def test_one_read_is_enough_where_every_outcome_has_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reads(monkeypatch, set()) == []


def test_first_transaction_that_ends_between_two_requests_is_not_a_contradiction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert reads(monkeypatch, {1}, set()) == []


def test_another_partition_may_have_its_first_transaction_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reads(monkeypatch, {1}, {2}, set()) == []
    assert reads(monkeypatch, {1}, {1, 2}, {1}) == [1]


def test_partition_without_a_commit_in_two_reads_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reads(monkeypatch, {0, 1}, {0}) == [0]
