import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from worker.processor_bench import FAR_S, StagedBench, take

from stream.core.records import InputRecord
from stream.errors import Misconfigured, Rejected, StageFailed
from stream.exercise.faults import (
    DELAY_S_MAX,
    ORIGINAL,
    Failure,
    FaultPlan,
    Faults,
    Stage,
    StageFault,
    load_plan,
)
from stream.testing.anagrams import WORDS, blob_tokens
from stream.testing.clock import FakeClock
from stream.testing.observer import FakeObserver
from stream.testing.pipeline import FakePipeline
from stream.testing.process import FakeProcess, Tuning, split_value
from stream.worker.fault_injection import InjectedStages, SharedWaits
from stream.worker.retry import WAIT_S_MAX, Retrier

UNHURRIED = settings(deadline=None)  # slowness of a busy machine is not a failure
KEYS = [str(number) for number in range(20_000)]
TEXTS = st.lists(st.sampled_from((*WORDS, "zzz", "-", "x1")), max_size=12).map(" ".join)


def plan(stage: Stage = Stage.GET_WORDS, seed: int = 0, **fault: object) -> FaultPlan:
    return FaultPlan(stages={stage: StageFault.model_validate(fault)}, seed=seed)


def fails(faults: Faults, stage: Stage, key: str = "") -> bool:
    return faults.draw(stage, key).error is not None


@pytest.mark.parametrize("stage", Stage)
def test_stages_fail_at_the_rates_of_the_original(stage: Stage) -> None:
    faults, rate = Faults(ORIGINAL), ORIGINAL.stages[stage].rate
    failed = sum(fails(faults, stage, key) for key in KEYS)
    assert abs(failed / len(KEYS) - rate) < 0.012
    assert faults.injected == {(stage, "delay"): len(KEYS), (stage, "value-error"): failed}


def test_original_plan_has_the_figures_of_the_exercise() -> None:
    figures = {stage.value: (fault.rate, fault.delay_s) for stage, fault in ORIGINAL.stages.items()}
    assert figures == {
        "filter_input": (0.20, 1.0),
        "get_words": (0.25, 1.0),
        "find_anagrams": (0.10, 0.25),
        "permutations": (0.01, 0.1),
    }


@UNHURRIED
@given(st.permutations([(stage, key) for stage in Stage for key in ("", "cat", "dog") for _ in range(4)]))
def test_same_seed_gives_the_same_faults_in_any_order_of_calls(order: list[tuple[Stage, str]]) -> None:
    def of(calls: list[tuple[Stage, str]]) -> dict[tuple[Stage, str], list[bool]]:
        faults, results = Faults(ORIGINAL, seed=5), dict[tuple[Stage, str], list[bool]]()
        for stage, key in calls:
            results.setdefault((stage, key), []).append(fails(faults, stage, key))
        return results

    assert of(order) == of(sorted(order))


def test_other_seeds_give_other_faults() -> None:
    def drawn(seed: int) -> list[bool]:
        faults = Faults(ORIGINAL, seed)
        return [fails(faults, Stage.GET_WORDS) for _ in range(100)]

    assert len({tuple(drawn(seed)) for seed in range(20)}) == 20
    assert drawn(3) == drawn(3)


def test_delays_are_scaled() -> None:
    assert Faults(ORIGINAL.with_options(scale=0.01)).draw("filter_input").delay_s == pytest.approx(0.01)
    assert ORIGINAL.with_options(scale=0.5).delays_s == pytest.approx(2.35 / 2)


def test_stage_without_a_fault_neither_fails_nor_waits() -> None:
    faults = Faults(plan(Stage.FILTER_INPUT, rate=1.0))
    assert (faults.draw("get_words").delay_s, faults.draw("get_words").error) == (0.0, None)
    assert not faults.injected


@pytest.mark.parametrize(
    ("error", "caught"),
    [
        ("passing", StageFailed),
        ("value-error", StageFailed),
        ("value-error", ValueError),
        ("rejected", Rejected),
    ],
)
def test_plan_sets_the_error_that_a_failing_stage_raises(error: str, caught: type[Exception]) -> None:
    raised = Faults(plan(rate=1.0, error=Failure(error))).draw("get_words").error
    assert isinstance(raised, caught)
    assert "get_words" in str(raised)
    assert "on purpose" in str(raised)


def test_plan_comes_from_a_name_or_a_file(tmp_path: Path) -> None:
    assert load_plan("none") is None
    assert load_plan("original") == ORIGINAL
    file = tmp_path / "plan.json"
    file.write_text('{"stages": {"get_words": {"rate": 0.5, "error": "rejected"}}, "seed": 7, "scale": 0.1}')
    read = load_plan(str(file))
    assert read is not None
    assert (read.seed, read.scale) == (7, 0.1)
    assert read.stages == {Stage.GET_WORDS: StageFault(rate=0.5, error=Failure.REJECTED)}
    file.write_text(ORIGINAL.model_dump_json())
    assert load_plan(str(file)) == ORIGINAL


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "JSON"),
        ("[]", "it: "),
        ('{"stages": {"sort": {}}}', "stages.sort"),
        ('{"stages": {"get_words": {"rate": 1.5}}}', "stages.get_words.rate"),
        ('{"stages": {"get_words": {"rate": "1"}}}', "stages.get_words.rate"),
        ('{"stages": {"get_words": {"chance": 1}}}', "stages.get_words.chance"),
        ('{"stages": {"get_words": {"error": "fatal"}}}', "stages.get_words.error"),
        ('{"seeds": 1}', "seeds"),
        (f'{{"stages": {{"get_words": {{"delay_s": {DELAY_S_MAX + 1}}}}}}}', "delay_s"),
    ],
)
def test_wrong_plan_is_refused_with_the_wrong_field(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(text)
    with pytest.raises(Misconfigured, match="does not contain a plan") as refused:
        load_plan(str(file))
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.hint


def test_missing_plan_is_refused() -> None:
    with pytest.raises(Misconfigured, match=r"cannot read .*orignal: No such file"):
        load_plan("orignal")


def test_plan_is_frozen() -> None:
    with pytest.raises(ValidationError):
        ORIGINAL.seed = 3  # type: ignore[misc]


def make_bench(clock: FakeClock, faults: Faults, deadline_s: float = FAR_S) -> tuple[StagedBench, Retrier]:
    waits = SharedWaits(clock)
    retrier = Retrier(waits, FakeObserver(), 12, random.Random(1))
    stages = InjectedStages(faults, split_value, retrier, waits)
    return StagedBench(stages, waits, deadline_s=deadline_s), retrier


def records(*texts: str) -> list[InputRecord]:
    return [InputRecord("in", 0, offset, None, text.encode()) for offset, text in enumerate(texts)]


def test_delays_of_a_batch_elapse_concurrently() -> None:
    clock = FakeClock()
    slow = FaultPlan(
        stages={stage: fault.model_copy(update={"rate": 0.0}) for stage, fault in ORIGINAL.stages.items()}
    )
    started = clock.monotonic()
    bench, _ = make_bench(clock, Faults(slow))
    assert len(bench.process(records(*["a b c d e f g"] * 500))) == 500
    assert clock.monotonic() - started == pytest.approx(2.25)


def test_waits_come_before_the_first_chunk_is_taken() -> None:
    """Otherwise a transaction would be open while a stage is retried."""
    clock = FakeClock()
    bench, _ = make_bench(clock, Faults(ORIGINAL, seed=1))
    bench.process(records("a b c"))
    waited_until = clock.monotonic()
    take(bench.processor, records("a b c"))
    assert clock.monotonic() == waited_until


def test_stages_are_retried_one_by_one_and_waits_elapse_concurrently() -> None:
    clock, faults = FakeClock(), Faults(ORIGINAL, seed=1)
    started = clock.monotonic()
    bench, _ = make_bench(clock, faults)
    bench.process(records(*["a b c"] * 300))
    assert not bench.processor.state_updates().rejected
    assert clock.monotonic() - started < 12 * 2.25 + 12 * WAIT_S_MAX
    filtered = faults.injected["filter_input", "delay"] - faults.injected["filter_input", "value-error"]
    split = faults.injected["get_words", "delay"] - faults.injected["get_words", "value-error"]
    looked_up = faults.injected["find_anagrams", "delay"] - faults.injected["find_anagrams", "value-error"]
    assert (filtered, split, looked_up) == (300, 300, 900)  # each stage succeeds once and is not repeated


def test_only_a_record_whose_attempts_are_exhausted_is_rejected() -> None:
    faults = Faults(FaultPlan(stages={Stage.FIND_ANAGRAMS: StageFault(rate=0.7)}))
    bench, _ = make_bench(FakeClock(), faults)
    outputs = bench.process(records(*["a"] * 1000))
    dead_letters = [record for record in outputs if record.topic == "dead"]
    assert 0 < len(dead_letters) < 60  # 0.7 ** 12 is 1.4 %
    assert bench.processor.state_updates().rejected == {"retries-exhausted": len(dead_letters)}


def test_fault_that_is_not_transient_rejects_at_once() -> None:
    faults = Faults(plan(rate=1.0, error=Failure.REJECTED))
    bench, _ = make_bench(FakeClock(), faults)
    assert [record.topic for record in bench.process(records("a"))] == ["dead"]
    assert faults.injected == {("get_words", "rejected"): 1}


def test_deadline_ends_a_batch_and_later_batches_process_the_rest() -> None:
    clock, texts = FakeClock(), ["a b c"] * 30
    bench, retrier = make_bench(clock, Faults(ORIGINAL, seed=2), deadline_s=3.0)
    remaining, outcomes, batches = records(*texts), 0, 0
    while remaining:
        batches += 1
        started = clock.monotonic()
        outcomes += len(bench.process(remaining))
        assert clock.monotonic() - started < 3.0 + 2.25 + WAIT_S_MAX
        updates = bench.processor.state_updates()
        assert not updates.rejected
        start = bench.unprocessed.get(0, len(texts))
        remaining = [record for record in remaining if record.offset >= start]
    assert (outcomes, batches > 1) == (30, True)
    assert not retrier._attempts


@UNHURRIED
@given(st.lists(TEXTS, min_size=1, max_size=8), st.integers(0, 1_000))
def test_faults_do_not_change_what_is_counted(texts: list[str], seed: int) -> None:
    def outcome(tuning: Tuning) -> tuple[object, object, object]:
        pipeline = FakePipeline()
        for text in texts:
            pipeline.submit(text)
        pipeline.drain(FakeProcess(pipeline.cluster, pipeline.names, pipeline.fold, tuning=tuning))
        return pipeline.results(), pipeline.totals(), pipeline.dead_letters()

    calm = Tuning(retry_attempts_max=12, batch_records_max=3, tokens=blob_tokens)
    assert outcome(replace(calm, plan=ORIGINAL.with_options(seed))) == outcome(calm)


def test_every_record_is_counted_or_a_dead_letter_when_attempts_are_exhausted() -> None:
    pipeline = FakePipeline()
    for _ in range(200):
        pipeline.submit("cat")
    often = FaultPlan(stages={Stage.GET_WORDS: StageFault(rate=1 / 3)})
    pipeline.drain(FakeProcess(pipeline.cluster, pipeline.names, pipeline.fold, tuning=Tuning(plan=often)))
    dead_letters = pipeline.dead_letters()
    assert 0 < len(dead_letters) < 30  # about 1/27 of the records
    assert {letter["dead-letter.stage"] for letter in dead_letters} == {"get_words"}
    assert {letter["dead-letter.attempts"] for letter in dead_letters} == {"3"}
    assert pipeline.totals() == {"act": 200 - len(dead_letters)} == {"act": len(pipeline.results())}
