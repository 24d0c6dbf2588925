import pytest

from stream.tools.chaos.plan import Kind
from stream.tools.chaos.score import NotedFault, Score
from stream.tools.chaos.worker_log import Hang, Restored


@pytest.mark.parametrize(
    "count", ["lost", "duplicated", "torn", "mismatched", "aborted_seen", "disordered", "unseen"]
)
def test_any_count_above_zero_fails_the_campaign(count: str) -> None:
    score = Score(1, "consumer", static=False)
    assert score.holds
    setattr(score, count, 1)
    assert not score.holds


def test_any_difference_fails_the_campaign() -> None:
    score = Score(1, "consumer", static=False)
    score.differ("a traceback")
    assert not score.holds


def test_restores_into_the_store_of_the_last_owner_are_counted_separately() -> None:
    score = Score(1, "classic", static=True)
    score.restored = [Restored("w", 0, 3, same=True), Restored("w", 1, 900, same=False)]
    assert (score.restored_max(same=True), score.restored_max(same=False)) == (3, 900)
    restored = score.as_json()["restored_records"]
    assert restored == {
        "same_store": {"restores": 1, "max": 3},
        "moved": {"restores": 1, "max": 900},
        "transaction_max": 0,
    }


def noted(stall_s: float | None, probe_stall_s: float | None = None) -> NotedFault:
    return NotedFault(1.0, "leaders moved", stall_s, probe_stall_s, "every partition")


def test_stalls_of_the_workers_are_shown_next_to_those_of_the_probes() -> None:
    score = Score(1, "classic", static=True, nodes=3, probe_commits=7)
    score.faults[Kind.LEADERS_MOVED] = 4
    for stall_s, probe_stall_s in ((1.0, 0.5), (9.0, 3.0), (2.0, 1.5)):
        score.note(noted(stall_s, probe_stall_s), Kind.LEADERS_MOVED, alone=True)
    score.note(noted(50.0, 50.0), Kind.LEADERS_MOVED, alone=False)
    shown = score.as_json()
    assert shown["stalls"]["leaders moved"] == {
        "faults": 4,
        "worker_median": 2.0,
        "worker_worst": 9.0,
        "probe_median": 1.5,
        "probe_worst": 3.0,
    }
    assert shown["probe"] == {"commits": 7, "hangs": 0, "stalls_s": {"leaders moved": [0.5, 3.0, 1.5]}}
    assert shown["timeline"][0] == {
        "at": 1.0,
        "fault": "leaders moved",
        "stall_s": 1.0,
        "target": "every partition",
        "probe_stall_s": 0.5,
    }
    assert (shown["nodes"], shown["group_settings"]) == (3, "lowered")


def test_one_node_has_no_probes() -> None:
    score = Score(1, "consumer", static=False)
    score.note(NotedFault(1.0, "kill -9", 2.0), Kind.KILL, alone=True)
    shown = score.as_json()
    assert "probe" not in shown
    assert shown["stalls"]["kill -9"] == {"faults": 0, "worker_median": 2.0, "worker_worst": 2.0}
    assert shown["timeline"] == [{"at": 1.0, "fault": "kill -9", "stall_s": 2.0}]


def test_restarts_after_a_hang_are_shown_with_the_call_that_hung() -> None:
    score = Score(1, "classic", static=True, hangs=[Hang("worker-1", "a call", "sink.py:9 send_offsets")])
    shown = score.as_json()
    assert shown["hang_restarts"] == 1
    assert shown["hangs"] == [{"worker": "worker-1", "what": "a call", "where": "sink.py:9 send_offsets"}]
    assert score.holds
