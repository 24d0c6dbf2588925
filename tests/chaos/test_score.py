import pytest

from stream.tools.chaos.score import Score
from stream.tools.chaos.worker_log import Restored


@pytest.mark.parametrize(
    "count", ["lost", "duplicated", "torn", "mismatched", "aborted_seen", "disordered", "unseen"]
)
def test_any_count_above_zero_is_a_broken_promise(count: str) -> None:
    score = Score(1, "consumer", static=False)
    assert score.holds
    setattr(score, count, 1)
    assert not score.holds


def test_any_difference_is_a_broken_promise() -> None:
    score = Score(1, "consumer", static=False)
    score.differ("a traceback")
    assert not score.holds


def test_restores_into_the_store_of_the_last_owner_are_counted_apart() -> None:
    score = Score(1, "classic", static=True)
    score.restored = [Restored("w", 0, 3, same=True), Restored("w", 1, 900, same=False)]
    assert (score.restored_max(same=True), score.restored_max(same=False)) == (3, 900)
    restored = score.as_json()["restored_records"]
    assert restored == {
        "same_store": {"restores": 1, "max": 3},
        "moved": {"restores": 1, "max": 900},
        "transaction_max": 0,
    }
