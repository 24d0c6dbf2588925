from stream.exercise.cases import Case, load_cases
from stream.exercise.faults import ORIGINAL, FaultPlan, Stage, StageFault
from stream.exercise.trials import Trials, run_baseline_trials, run_trials

(SMALL,) = load_cases("small")
WITHOUT_DELAYS = ORIGINAL.with_options(scale=0.0)


def test_every_run_succeeds_at_the_original_rates_but_not_every_run_of_the_baseline() -> None:
    progress: list[None] = []
    trials = run_trials(SMALL, WITHOUT_DELAYS, 60, lambda: progress.append(None))
    baseline = run_baseline_trials(SMALL, WITHOUT_DELAYS, 60, lambda: progress.append(None))
    assert len(progress) == 120
    assert (trials.successes, dict(trials.failures)) == (60, {})
    assert 0 < baseline.successes < 50
    assert baseline.successes + baseline.failures.total() == 60
    assert trials.median_ms is not None
    assert trials.p95_ms is not None
    assert trials.median_ms <= trials.p95_ms <= max(trials.runtimes_ms)


def test_baseline_succeeds_without_faults() -> None:
    assert run_baseline_trials(SMALL, None, 5, lambda: None).successes == 5


def test_each_run_has_its_own_seed_and_the_same_one_next_time() -> None:
    def failures(plan: FaultPlan) -> dict[str, int]:
        return dict(run_baseline_trials(SMALL, plan, 40, lambda: None).failures)

    assert failures(WITHOUT_DELAYS) == failures(WITHOUT_DELAYS)
    assert len(failures(WITHOUT_DELAYS)) > 1
    assert failures(WITHOUT_DELAYS) != failures(WITHOUT_DELAYS.with_options(seed=1000))


def test_run_with_wrong_counts_is_a_failure() -> None:
    wrong = Case("small", "wrong", "cat", {"cat": 7}, 1.0)
    trials = run_trials(wrong, None, 2, lambda: None)
    assert trials.successes == 0
    assert list(trials.failures) == [
        "wrong counts: cat: 1 instead of 7; act: 1 instead of 0; tac: 1 instead of 0"
    ]


def test_failed_stage_is_the_reason_for_the_failure() -> None:
    broken = FaultPlan(stages={Stage.GET_WORDS: StageFault(rate=1.0)}, scale=0.0)
    trials = Trials("baseline", "small", 3)
    assert (trials.median_ms, trials.p95_ms) == (None, None)
    trials = run_baseline_trials(SMALL, broken, 3, lambda: None)
    assert trials.failures == {"get_words: failed on purpose (fault injection)": 3}
