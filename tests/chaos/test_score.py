import pytest

from stream.tools.chaos.fleet import Restored
from stream.tools.chaos.score import Score


@pytest.mark.parametrize(
    "count", ["lost", "duplicated", "torn", "mismatched", "aborted_seen", "disordered", "unseen"]
)
def test_anything_but_zero_breaks_the_promise(count: str) -> None:
    score = Score(1, "consumer", static=False)
    assert score.holds
    setattr(score, count, 1)
    assert not score.holds


def test_a_sentence_breaks_the_promise() -> None:
    score = Score(1, "consumer", static=False)
    score.differ("a traceback")
    assert not score.holds


def test_restores_are_told_apart_by_whether_the_store_was_the_last() -> None:
    score = Score(1, "classic", static=True)
    score.restored = [Restored("w", 0, 3, same=True), Restored("w", 1, 900, same=False)]
    assert (score.restored_max(same=True), score.restored_max(same=False)) == (3, 900)
    told = score.as_json()["restored_records"]
    assert told == {
        "same_store": {"restores": 1, "max": 3},
        "moved": {"restores": 1, "max": 900},
        "transaction_max": 0,
    }
