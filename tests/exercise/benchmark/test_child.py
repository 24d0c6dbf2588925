import pytest

from stream.exercise.benchmark.child import counts_of
from stream.exercise.benchmark.loading import error_line


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "it returned None"),
        ({}, "it returned {}"),
        ({"runtime": 1.0}, "it returned {'runtime': 1.0}"),
        ({"runtime": "1", "anagram_counts": {}}, "its runtime is '1'"),
        ({"runtime": float("nan"), "anagram_counts": {}}, "its runtime is nan"),
        ({"runtime": -1.0, "anagram_counts": {}}, "its runtime is -1.0"),
        ({"runtime": True, "anagram_counts": {}}, "its runtime is True"),
        ({"runtime": 1.0, "anagram_counts": ["cat"]}, "its anagram_counts are ['cat']"),
        ({"runtime": 1.0, "anagram_counts": {"cat": 1.0}}, "its anagram_counts have 'cat': 1.0"),
        ({"runtime": 1.0, "anagram_counts": {1: 1}}, "its anagram_counts have 1: 1"),
        ({"runtime": 1.0, "anagram_counts": {"cat": True}}, "its anagram_counts have 'cat': True"),
    ],
)
def test_result_of_another_shape_is_described(answer: object, why: str) -> None:
    counts, problem = counts_of(answer)
    assert counts is None
    assert problem.startswith(why)


def test_result_of_the_right_shape_is_accepted() -> None:
    assert counts_of({"runtime": 0, "anagram_counts": {"cat": 2}, "more": 1}) == ({"cat": 2}, "")


def test_error_is_described_in_one_line() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert error_line(ValueError("one\n  two")) == "ValueError: one two"
    assert error_line(KeyboardInterrupt()) == "KeyboardInterrupt"
    assert error_line(Mute()) == "Mute"
