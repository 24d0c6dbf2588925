from stream.exercise.cases import Case, load_cases
from stream.exercise.faults import ORIGINAL, FaultPlan, Stage, StageFault
from stream.exercise.trials import Trials, try_baseline, try_often

(SMALL,) = load_cases("small")
QUICK = ORIGINAL.with_options(scale=0.0)


def test_every_run_succeeds_under_the_originals_rates_and_the_naive_ones_do_not() -> None:
    ended: list[None] = []
    often = try_often(SMALL, QUICK, 60, lambda: ended.append(None))
    naive = try_baseline(SMALL, QUICK, 60, lambda: ended.append(None))
    assert len(ended) == 120
    assert (often.successes, dict(often.failures)) == (60, {})
    assert 0 < naive.successes < 50
    assert naive.successes + naive.failures.total() == 60
    assert often.median_ms is not None
    assert often.p95_ms is not None
    assert often.median_ms <= often.p95_ms <= max(often.runtimes_ms)


def test_without_faults_the_naive_ones_succeed_too() -> None:
    assert try_baseline(SMALL, None, 5, lambda: None).successes == 5


def test_runs_have_seeds_of_their_own_and_the_same_ones_again() -> None:
    def failures(plan: FaultPlan) -> dict[str, int]:
        return dict(try_baseline(SMALL, plan, 40, lambda: None).failures)

    assert failures(QUICK) == failures(QUICK)
    assert len(failures(QUICK)) > 1
    assert failures(QUICK) != failures(QUICK.with_options(seed=1000))


def test_wrong_counts_are_no_success() -> None:
    wrong = Case("small", "wrong", "cat", {"cat": 7}, 1.0)
    trials = try_often(wrong, None, 2, lambda: None)
    assert trials.successes == 0
    assert list(trials.failures) == [
        "wrong counts: cat: 1 instead of 7; act: 1 instead of 0; tac: 1 instead of 0"
    ]


def test_spent_attempts_are_told() -> None:
    broken = FaultPlan(stages={Stage.GET_WORDS: StageFault(rate=1.0)}, scale=0.0)
    trials = Trials("baseline", "small", 3)
    assert (trials.median_ms, trials.p95_ms) == (None, None)
    trials = try_baseline(SMALL, broken, 3, lambda: None)
    assert trials.failures == {"get_words: failed on purpose (fault injection)": 3}
