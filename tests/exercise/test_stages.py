import asyncio
import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.core.dictionary import build_index
from stream.core.text import words
from stream.errors import Fatal, Rejected, StageFailed
from stream.exercise import stages as stages_module
from stream.exercise.faults import ORIGINAL, Failure, FaultPlan, Faults, Stage, StageFault
from stream.exercise.stages import ATTEMPTS_MAX, Stages, StageStats, aretried, current, retried, use

INDEX = build_index(["cat", "act", "listen", "silent"])


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages_module, "_WAIT", lambda _: 0.0)


@pytest.fixture(autouse=True)
def _default_stages() -> Iterator[None]:
    yield
    use(None)


def failing(rate: float = 1.0, error: Failure = Failure.PASSING, delay_s: float = 0.0) -> Faults:
    return Faults(
        FaultPlan(stages={stage: StageFault(rate=rate, delay_s=delay_s, error=error) for stage in Stage})
    )


def test_stages_filter_split_look_up_and_permute() -> None:
    stages = Stages(INDEX)
    assert stages.filter_input("Cat-act, don't! é") == "Cat act dont "
    assert stages.get_words("Cat act dont ") == ["cat", "act", "dont"]
    assert stages.find_anagrams("tac") == ("act", "cat")
    assert stages.find_anagrams("zzz") == ()
    assert sorted(stages.permutations("cat")) == ["act", "atc", "cat", "cta", "tac", "tca"]
    assert stages.dictionary == {"cat", "act", "listen", "silent"}


NO_DEADLINE = settings(deadline=None)  # a slow run on a busy machine is not a failure
CORNERS = st.sampled_from("aZ09- \t\n\x1c\x85\xa0\u2028\u200b'.K\u212a\u017fİé")


@NO_DEADLINE
@given(st.text(CORNERS | st.characters(codec="utf-8")))
def test_first_two_stages_together_split_as_the_core_does(text: str) -> None:
    stages = Stages(INDEX)
    assert stages.get_words(stages.filter_input(text)) == words(text)


def test_asynchronous_stages_return_the_same() -> None:
    stages = Stages(INDEX)

    async def call_all() -> tuple[object, ...]:
        aio = stages.aio
        orders = await aio.permutations("ab")
        return (
            await aio.filter_input("a-b"),
            await aio.get_words("A b"),
            await aio.find_anagrams("act"),
            orders,
        )

    assert asyncio.run(call_all()) == ("a b", ["a", "b"], ("act", "cat"), ["ab", "ba"])
    assert {stats.successes for stats in stages.stats.values()} == {1}


def test_permutations_of_a_long_word_are_generated_lazily() -> None:
    assert list(itertools.islice(Stages(INDEX).permutations("a" * 1000), 1)) == ["a" * 1000]


def test_calls_are_counted_by_stage() -> None:
    slept: list[float] = []
    stages = Stages(INDEX, failing(0.5, delay_s=2.0), slept.append)
    failures = 0
    for _ in range(100):
        try:
            stages.find_anagrams("cat")
        except StageFailed as failed:
            assert failed.stage == "find_anagrams"  # noqa: PT017 - only half of the calls fail
            failures += 1
    stats = stages.stats["find_anagrams"]
    assert 0 < failures < 100
    assert (stats.attempts, stats.successes, stats.failures) == (100, 100 - failures, failures)
    assert stats.seconds > 0
    assert slept == [2.0] * 100
    assert stages.stats["get_words"] == StageStats()


def test_delays_of_coroutines_pass_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = Stages(INDEX, failing(0.0, delay_s=0.05))
    loop_s = 0.0

    async def call_many() -> None:
        nonlocal loop_s
        started = asyncio.get_running_loop().time()
        await asyncio.gather(*(stages.aio.find_anagrams(str(number)) for number in range(50)))
        loop_s = asyncio.get_running_loop().time() - started

    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("a coroutine must not sleep"))
    asyncio.run(call_many())
    assert loop_s < 1.0  # one after another they would take 2.5 s


def test_stage_is_retried_until_it_succeeds() -> None:
    stages = Stages(INDEX, failing(0.5))
    for number in range(50):
        word = f"cat{number}"
        assert retried(stages.find_anagrams, word) == ()
        assert asyncio.run(aretried(stages.aio.find_anagrams, word)) == ()
    stats = stages.stats["find_anagrams"]
    assert (stats.successes, stats.failures > 20) == (100, True)


def test_stage_that_always_fails_ends_with_an_error_that_names_it() -> None:
    stages = Stages(INDEX, failing())
    with pytest.raises(Fatal, match=rf"get_words failed {ATTEMPTS_MAX} times in a row.*on purpose"):
        retried(stages.get_words, "a")
    with pytest.raises(Fatal, match=rf"get_words failed {ATTEMPTS_MAX} times in a row"):
        asyncio.run(aretried(stages.aio.get_words, "a"))
    assert stages.stats["get_words"].attempts == 2 * ATTEMPTS_MAX


def test_rejection_is_not_retried() -> None:
    stages = Stages(INDEX, failing(error=Failure.REJECTED))
    with pytest.raises(Rejected):
        retried(stages.get_words, "a")
    assert stages.stats["get_words"].attempts == 1


def test_programming_error_is_not_retried() -> None:
    stages = Stages(INDEX)
    with pytest.raises(AttributeError):
        retried(stages.filter_input, 5)  # type: ignore[arg-type]
    assert stages.stats["filter_input"].attempts == 1


def test_stages_in_use_are_shared_and_have_no_faults_by_default() -> None:
    assert current() is current()
    assert current().faults is None
    assert "listen" in current().dictionary
    stages = Stages(INDEX, Faults(ORIGINAL))
    use(stages)
    assert current() is stages
    use(None)
    assert current() is not stages
