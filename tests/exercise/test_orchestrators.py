import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.core.decide import Decider
from stream.core.dictionary import build_index
from stream.errors import Fatal, StageFailed
from stream.exercise import baseline, orchestrator
from stream.exercise import stages as in_use
from stream.exercise.faults import ORIGINAL, FaultPlan, Faults, Stage, StageFault
from stream.exercise.orchestrator import CONCURRENT_MAX, TaskOrchestrator
from stream.exercise.stages import Stages

INDEX = build_index(["cat", "act", "tea", "eat", "ate", "a", "noon", "listen", "silent", "abcdefghi"])
UNHURRIED = settings(deadline=None)  # a busy machine is slow, and no failure
LETTERS = st.text("aceilnost", min_size=1, max_size=6)
TEXTS = st.lists(
    LETTERS | st.sampled_from(["-", "Cat!", "abcdefghi", "ihgfedcba", "a1", "é"]), max_size=20
).map(" ".join)
MAKERS: list[Callable[[Stages], TaskOrchestrator | baseline.TaskOrchestrator]] = [
    TaskOrchestrator,
    baseline.TaskOrchestrator,
]
BOTH = pytest.mark.parametrize("made", MAKERS, ids=["pipeline", "baseline"])


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_use, "_WAIT", lambda _: 0.0)


def decided(text: str) -> dict[str, int]:
    return dict(Decider(INDEX).decide(text).anagram_counts)


@BOTH
def test_result_is_a_runtime_and_counts(made: type[TaskOrchestrator]) -> None:
    result = made(Stages(INDEX)).process_text("Listen, silent cat")
    assert set(result) == {"runtime", "anagram_counts"}
    assert isinstance(result["runtime"], float)
    assert result["runtime"] > 0
    assert result["anagram_counts"] == {"listen": 2, "silent": 2, "act": 1, "cat": 1}


@BOTH
def test_empty_text_has_no_counts(made: type[TaskOrchestrator]) -> None:
    assert made(Stages(INDEX)).process_text("")["anagram_counts"] == {}


@BOTH
@pytest.mark.parametrize("what", [None, 5, b"cat", ["cat"]])
def test_what_is_no_text_is_a_value_error(made: type[TaskOrchestrator], what: object) -> None:
    with pytest.raises(ValueError, match="takes a str, not"):
        made(Stages(INDEX)).process_text(what)  # type: ignore[arg-type]


@BOTH
@UNHURRIED
@given(text=TEXTS)
def test_every_way_counts_what_the_definition_says(made: type[TaskOrchestrator], text: str) -> None:
    assert made(Stages(INDEX)).process_text(text)["anagram_counts"] == decided(text)


@UNHURRIED
@given(text=TEXTS, seed=st.integers(0, 10_000))
def test_faults_change_nothing_that_is_counted(text: str, seed: int) -> None:
    stages = Stages(INDEX, Faults(ORIGINAL.with_options(seed, scale=0.0)))
    assert TaskOrchestrator(stages).process_text(text)["anagram_counts"] == decided(text)


def test_same_seed_gives_the_same_failures() -> None:
    def failures(seed: int) -> dict[str, int]:
        stages = Stages(INDEX, Faults(ORIGINAL.with_options(seed, scale=0.0)))
        TaskOrchestrator(stages).process_text(" ".join(f"cat{n}" for n in range(200)))
        return {stage: stats.failures for stage, stats in stages.stats.items()}

    assert failures(3) == failures(3)
    assert failures(3)["find_anagrams"] > 5


def test_only_the_stage_that_failed_is_done_again() -> None:
    plan = FaultPlan(stages={Stage.FIND_ANAGRAMS: StageFault(rate=0.5)})
    stages = Stages(INDEX, Faults(plan))
    TaskOrchestrator(stages).process_text(" ".join(f"x{n}" for n in range(50)))
    assert stages.stats["filter_input"].attempts == stages.stats["get_words"].attempts == 1
    assert stages.stats["find_anagrams"].successes == 50


def test_each_word_is_looked_up_once_and_no_more_than_so_many_at_a_time() -> None:
    words = [f"w{n}" for n in range(2 * CONCURRENT_MAX + 1)]
    parts = list(orchestrator._parts(dict.fromkeys(words, 1)))
    assert [len(part) for part in parts] == [CONCURRENT_MAX, CONCURRENT_MAX, 1]
    stages = Stages(INDEX)
    TaskOrchestrator(stages).process_text(" ".join(words * 2))
    assert stages.stats["find_anagrams"].attempts == len(words)


def test_attempts_that_are_spent_end_the_run_with_the_stage_named() -> None:
    plan = FaultPlan(stages={Stage.GET_WORDS: StageFault(rate=1.0)})
    with pytest.raises(Fatal, match="get_words failed 12 times in a row"):
        TaskOrchestrator(Stages(INDEX, Faults(plan))).process_text("cat")


def test_it_is_a_coroutine_as_well() -> None:
    result = asyncio.run(TaskOrchestrator(Stages(INDEX)).process("cat"))
    assert result["anagram_counts"] == {"act": 1, "cat": 1}


def test_orchestrator_works_on_the_stages_in_use() -> None:
    mine = Stages(INDEX)
    in_use.use(mine)
    try:
        TaskOrchestrator().process_text("cat")
        baseline.TaskOrchestrator().process_text("cat")
    finally:
        in_use.use(None)
    assert mine.stats["get_words"].successes == 2


def test_baseline_permutes_short_words_and_says_what_it_does_with_long_ones() -> None:
    stages = Stages(INDEX)
    baseline.TaskOrchestrator(stages).process_text("cat abcdefgh ihgfedcba cat")
    assert stages.stats["permutations"].attempts == 3  # each time anew
    assert stages.stats["find_anagrams"].attempts == 1
    assert "more than 8 letters" in (baseline.__doc__ or "")


def test_baseline_tries_nothing_again() -> None:
    plan = FaultPlan(stages={Stage.GET_WORDS: StageFault(rate=1.0)})
    stages = Stages(INDEX, Faults(plan))
    with pytest.raises(StageFailed):
        baseline.TaskOrchestrator(stages).process_text("cat")
    assert stages.stats["get_words"].attempts == 1
