import subprocess
import sys
from pathlib import Path

import pytest

from stream.errors import Misconfigured
from stream.exercise.cases import GROUPS, Case, load_cases
from stream.exercise.orchestrator import TaskOrchestrator
from stream.exercise.stages import Stages

SCRIPT = Path(__file__).parents[2] / "resources" / "expected_counts.py"
CASE = Case("small", "x", "cat", {"act": 1, "cat": 1, "tac": 1}, 1.0)


@pytest.mark.parametrize("case", load_cases("all,edge"), ids=lambda case: case.name)
def test_pipeline_counts_what_the_cases_expect(case: Case) -> None:
    assert case.differences(TaskOrchestrator(Stages()).process_text(case.text)["anagram_counts"]) == ""


def test_expected_counts_are_those_of_the_independent_script() -> None:
    assert "import stream" not in SCRIPT.read_text()
    assert "from stream" not in SCRIPT.read_text()
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "the expected counts are correct\n")


def test_groups_are_chosen_by_name() -> None:
    def names(chosen: str) -> list[str]:
        return [case.group for case in load_cases(chosen)]

    assert names("small") == ["small"]
    assert names("all") == ["small", "medium", "large"]
    assert names("large, small,large") == ["large", "small"]
    assert set(names("edge,all")) == set(GROUPS)


@pytest.mark.parametrize("chosen", ["", "tiny", "small,", "small tiny"])
def test_unknown_group_is_refused_with_a_list_of_the_groups(chosen: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        load_cases(chosen)
    assert "small, medium, large, edge, all" in refused.value.hint


def test_expected_runtimes_are_those_of_the_exercise() -> None:
    assert [case.expected_runtime_ms for case in load_cases("all")] == [1, 1500, 20000]


def test_edge_group_has_difficult_texts() -> None:
    texts = {case.name: case.text for case in load_cases("edge")}
    assert texts["empty"] == ""
    assert len(texts["a megabyte of text"]) > 1_000_000
    assert max(map(len, texts["very long tokens"].split())) > 200
    assert not texts["accents and other scripts"].isascii()


@pytest.mark.parametrize(
    ("counts", "description"),
    [
        ({"act": 1, "cat": 1, "tac": 1}, ""),
        ({"tac": 1, "cat": 1, "act": 1}, ""),
        ({"act": 1, "cat": 2, "tac": 1}, "cat: 2 instead of 1"),
        ({"act": 1, "cat": 1}, "tac: 0 instead of 1"),
        ({"act": 1, "cat": 1, "tac": 1, "dog": 1}, "dog: 1 instead of 0"),
        ({"w": 1}, "act: 0 instead of 1; cat: 0 instead of 1; tac: 0 instead of 1 and 1 more"),
        (None, "the counts are not a mapping, but of type NoneType"),
    ],
)
def test_differences_are_described(counts: object, description: str) -> None:
    assert CASE.differences(counts) == description
