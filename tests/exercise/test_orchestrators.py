import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.core.decide import Decider
from stream.core.dictionary import build_index
from stream.errors import Fatal, StageFailed
from stream.exercise import baseline, orchestrator
from stream.exercise import stages as stages_module
from stream.exercise.faults import ORIGINAL, FaultPlan, Faults, Stage, StageFault
from stream.exercise.orchestrator import CONCURRENT_MAX, TaskOrchestrator
from stream.exercise.stages import Stages

INDEX = build_index(["cat", "act", "tea", "eat", "ate", "a", "noon", "listen", "silent", "abcdefghi"])
NO_DEADLINE = settings(deadline=None)  # a slow run on a busy machine is not a failure
LETTERS = st.text("aceilnost", min_size=1, max_size=6)
TEXTS = st.lists(
    LETTERS | st.sampled_from(["-", "Cat!", "abcdefghi", "ihgfedcba", "a1", "é"]), max_size=20
).map(" ".join)
MAKERS: list[Callable[[Stages], TaskOrchestrator | baseline.TaskOrchestrator]] = [
    TaskOrchestrator,
    baseline.TaskOrchestrator,
]
BOTH = pytest.mark.parametrize("orchestrator_type", MAKERS, ids=["pipeline", "baseline"])


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages_module, "_WAIT", lambda _: 0.0)


def decided(text: str) -> dict[str, int]:
    return dict(Decider(INDEX).decide(text).anagram_counts)


@BOTH
def test_result_is_a_runtime_and_counts(orchestrator_type: type[TaskOrchestrator]) -> None:
    result = orchestrator_type(Stages(INDEX)).process_text("Listen, silent cat")
    assert set(result) == {"runtime", "anagram_counts"}
    assert isinstance(result["runtime"], float)
    assert result["runtime"] > 0
    assert result["anagram_counts"] == {"listen": 2, "silent": 2, "act": 1, "cat": 1}


@BOTH
def test_empty_text_has_no_counts(orchestrator_type: type[TaskOrchestrator]) -> None:
    assert orchestrator_type(Stages(INDEX)).process_text("")["anagram_counts"] == {}


@BOTH
@pytest.mark.parametrize("value", [None, 5, b"cat", ["cat"]])
def test_value_that_is_not_a_string_is_a_value_error(
    orchestrator_type: type[TaskOrchestrator], value: object
) -> None:
    with pytest.raises(ValueError, match="takes a str, not"):
        orchestrator_type(Stages(INDEX)).process_text(value)  # type: ignore[arg-type]


@BOTH
@NO_DEADLINE
@given(text=TEXTS)
def test_every_orchestrator_counts_as_the_definition_does(
    orchestrator_type: type[TaskOrchestrator], text: str
) -> None:
    assert orchestrator_type(Stages(INDEX)).process_text(text)["anagram_counts"] == decided(text)


@NO_DEADLINE
@given(text=TEXTS, seed=st.integers(0, 10_000))
def test_faults_do_not_change_the_counts(text: str, seed: int) -> None:
    stages = Stages(INDEX, Faults(ORIGINAL.with_options(seed, scale=0.0)))
    assert TaskOrchestrator(stages).process_text(text)["anagram_counts"] == decided(text)


def test_same_seed_gives_the_same_failures() -> None:
    def failures(seed: int) -> dict[str, int]:
        stages = Stages(INDEX, Faults(ORIGINAL.with_options(seed, scale=0.0)))
        TaskOrchestrator(stages).process_text(" ".join(f"cat{n}" for n in range(200)))
        return {stage: stats.failures for stage, stats in stages.stats.items()}

    assert failures(3) == failures(3)
    assert failures(3)["find_anagrams"] > 5


def test_only_the_failed_stage_is_retried() -> None:
    plan = FaultPlan(stages={Stage.FIND_ANAGRAMS: StageFault(rate=0.5)})
    stages = Stages(INDEX, Faults(plan))
    TaskOrchestrator(stages).process_text(" ".join(f"x{n}" for n in range(50)))
    assert stages.stats["filter_input"].attempts == stages.stats["get_words"].attempts == 1
    assert stages.stats["find_anagrams"].successes == 50


def test_each_word_is_looked_up_once_and_at_most_concurrent_max_at_a_time() -> None:
    words = [f"w{n}" for n in range(2 * CONCURRENT_MAX + 1)]
    parts = list(orchestrator._parts(dict.fromkeys(words, 1)))
    assert [len(part) for part in parts] == [CONCURRENT_MAX, CONCURRENT_MAX, 1]
    stages = Stages(INDEX)
    TaskOrchestrator(stages).process_text(" ".join(words * 2))
    assert stages.stats["find_anagrams"].attempts == len(words)


def test_exhausted_retries_end_the_run_and_name_the_stage() -> None:
    plan = FaultPlan(stages={Stage.GET_WORDS: StageFault(rate=1.0)})
    with pytest.raises(Fatal, match="get_words failed 12 times in a row"):
        TaskOrchestrator(Stages(INDEX, Faults(plan))).process_text("cat")


def test_process_is_a_coroutine() -> None:
    result = asyncio.run(TaskOrchestrator(Stages(INDEX)).process("cat"))
    assert result["anagram_counts"] == {"act": 1, "cat": 1}


def test_orchestrator_works_on_the_stages_in_use() -> None:
    stages = Stages(INDEX)
    stages_module.use(stages)
    try:
        TaskOrchestrator().process_text("cat")
        baseline.TaskOrchestrator().process_text("cat")
    finally:
        stages_module.use(None)
    assert stages.stats["get_words"].successes == 2


def test_baseline_permutes_short_words_only_and_documents_it() -> None:
    stages = Stages(INDEX)
    baseline.TaskOrchestrator(stages).process_text("cat abcdefgh ihgfedcba cat")
    assert stages.stats["permutations"].attempts == 3  # once per occurrence
    assert stages.stats["find_anagrams"].attempts == 1
    assert "more than 8 letters" in (baseline.__doc__ or "")


def test_baseline_does_not_retry() -> None:
    plan = FaultPlan(stages={Stage.GET_WORDS: StageFault(rate=1.0)})
    stages = Stages(INDEX, Faults(plan))
    with pytest.raises(StageFailed):
        baseline.TaskOrchestrator(stages).process_text("cat")
    assert stages.stats["get_words"].attempts == 1
