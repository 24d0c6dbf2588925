from collections.abc import Mapping

import pytest

from stream.exercise.benchmark.child import counts_of
from stream.exercise.benchmark.loading import sentence
from stream.exercise.benchmark.messages import Ran, read_said, said_line


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
        ({"runtime": 1.0, "anagram_counts": {"cat": 1.0}}, "its anagram_counts hold 'cat': 1.0"),
        ({"runtime": 1.0, "anagram_counts": {1: 1}}, "its anagram_counts hold 1: 1"),
        ({"runtime": 1.0, "anagram_counts": {"cat": True}}, "its anagram_counts hold 'cat': True"),
    ],
)
def test_answer_of_another_shape_is_described(answer: object, why: str) -> None:
    counts, said = counts_of(answer)
    assert counts is None
    assert said.startswith(why)


def test_answer_of_the_right_shape_is_taken() -> None:
    assert counts_of({"runtime": 0, "anagram_counts": {"cat": 2}, "more": 1}) == ({"cat": 2}, "")


def test_error_is_one_line() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert sentence(ValueError("one\n  two")) == "ValueError: one two"
    assert sentence(KeyboardInterrupt()) == "KeyboardInterrupt"
    assert sentence(Mute()) == "Mute"


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b'{"kind": 1}', b'{"kind": "ran"}', b'{"kind": "began", "x": 1}']
)
def test_line_that_is_not_ours_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_said(line)


def test_line_is_read_as_it_was_written() -> None:
    counts: Mapping[str, int] = {"cat": 1}
    said = Ran(counts=dict(counts), runtime_ms=1.5, cpu_s=0.1, peak_mib=80.0)
    assert read_said(said_line(said)) == said
