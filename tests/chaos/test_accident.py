import pytest

from stream.core.resume import RESUME, START_OVER
from stream.tools.chaos.accident import (
    Accident,
    AccidentReport,
    Change,
    Outcome,
    Refusal,
    names_fix,
    resume_command,
)
from stream.tools.chaos.score import Score

SKIP = "anagram-stream offsets skip --partition 0 --to 8"
EXACT = f"continue exactly with `{RESUME}`, or accept the loss with `{SKIP}`"
WITH_LOSS = f"accept that loss and continue with `{RESUME} --accept-loss`, or {START_OVER}"


def report(*, settled: bool = True, refused: bool = False) -> AccidentReport:
    refusals = [Refusal("worker-0", "the log was truncated", START_OVER)] if refused else []
    return AccidentReport(Accident.COUNT_TRUNCATED, Change("a log"), refusals, is_settled=settled)


def test_accidents_are_those_of_offsets_and_of_each_topic() -> None:
    assert {accident.role for accident in Accident} == {"offsets", "input", "result", "count", "dead-letter"}
    assert {accident.role for accident in Accident if accident.is_truncation} == {
        "input",
        "result",
        "count",
        "dead-letter",
    }


def test_only_the_log_of_the_input_is_truncated_on_several_nodes() -> None:
    assert all(accident.is_possible(1) for accident in Accident)
    impossible = {accident for accident in Accident if not accident.is_possible(3)}
    assert impossible == {
        Accident.RESULT_TRUNCATED,
        Accident.COUNT_TRUNCATED,
        Accident.DEAD_LETTER_TRUNCATED,
    }


@pytest.mark.parametrize(
    ("refused", "is_exact", "outcome"),
    [
        (True, True, Outcome.REFUSED),
        (False, True, Outcome.EXACT),
        (True, False, Outcome.BROKEN),
        (False, False, Outcome.SILENT),
    ],
)
def test_accident_is_refused_exact_silent_or_broken(refused: bool, is_exact: bool, outcome: Outcome) -> None:  # noqa: FBT001
    assert report(refused=refused).outcome(is_exact=is_exact) is outcome


def test_records_in_the_replaced_log_are_silent_even_after_a_refusal() -> None:
    refused = report(refused=True)
    refused.records_after = 1
    assert refused.outcome(is_exact=True) is Outcome.SILENT


def test_workers_that_neither_refuse_nor_continue_fail_the_campaign() -> None:
    score = Score(1, "consumer", static=False, accident=report(settled=False))
    assert not score.holds
    assert score.as_json()["accident"]["outcome"] == "unsettled"


def test_score_names_the_accident_only_if_there_was_one() -> None:
    assert "accident" not in Score(1, "consumer", static=False).as_json()
    score = Score(1, "consumer", static=False, accident=report(refused=True))
    assert score.holds
    accident = score.as_json()["accident"]
    assert (accident["kind"], accident["outcome"], accident["error"], accident["fix"]) == (
        "count-truncated",
        "refused",
        "the log was truncated",
        START_OVER,
    )


def test_refusal_is_recognized_by_the_command_in_its_fix() -> None:
    assert all(names_fix({"fix": fix}) for fix in (EXACT, WITH_LOSS, START_OVER))
    assert not names_fix({"fix": "check that the broker runs"})
    assert not names_fix({"event": "worker failed"})


def test_command_resumes_all_refused_partitions() -> None:
    assert resume_command([EXACT, EXACT]) == "offsets resume"
    assert resume_command([EXACT, WITH_LOSS]) == "offsets resume --accept-loss"


def test_no_command_resumes_if_one_partition_has_to_start_over() -> None:
    assert resume_command([EXACT, START_OVER]) is None
    assert resume_command([]) is None
