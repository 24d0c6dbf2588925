from collections import Counter

import pytest

from stream.tools.chaos.plan import CLUSTER, DOWN_S, ERRORS, ONE_NODE, Fault, Kind, bounces, draw, variants
from stream.tools.chaos.proxy import Api, error_name

ALONE = set(Kind) - CLUSTER


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_same_seed_gives_the_same_faults(protocol: str) -> None:
    assert draw(7, 60, protocol) == draw(7, 60, protocol)
    assert draw(7, 60, protocol) != draw(8, 60, protocol)


@pytest.mark.parametrize("seed", range(20))
def test_every_class_occurs_once_before_any_occurs_again(seed: int) -> None:
    first = draw(seed, len(ALONE), "consumer", processes=2)
    assert Counter(fault.kind for fault in first) == Counter(ALONE)


@pytest.mark.parametrize("seed", range(20))
def test_every_second_fault_on_several_nodes_is_a_cluster_fault(seed: int) -> None:
    faults = draw(seed, 2 * len(CLUSTER), "consumer", nodes=3)
    assert Counter(fault.kind for fault in faults[::2]) == Counter(CLUSTER)
    assert {fault.kind for fault in faults[1::2]} <= set(Kind) - CLUSTER - ONE_NODE


def test_broker_is_down_for_less_and_for_more_time_than_kafka_needs_to_notice() -> None:
    faults = [fault for fault in draw(1, 200, "classic", nodes=3) if fault.kind in CLUSTER]
    seconds = sorted(fault.seconds for fault in faults)
    assert DOWN_S[0] <= seconds[0] < 9 < seconds[-1] <= DOWN_S[1]


def test_each_fault_on_several_nodes_waits_for_recovery() -> None:
    assert not any(fault.crowded for fault in draw(1, 200, "classic", nodes=3))
    assert any(fault.crowded for fault in draw(1, 200, "classic"))


def test_one_node_has_no_cluster_faults() -> None:
    assert {fault.kind for fault in variants("classic", 2)} == ALONE
    assert draw(7, 60, "classic") == draw(7, 60, "classic", nodes=1)


def test_single_processes_are_killed_only_if_workers_have_several() -> None:
    for processes in (1, 2):
        kinds = {fault.kind for fault in draw(3, 200, "consumer", processes)}
        assert (Kind.KILL_PROCESS in kinds) == (processes > 1)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_every_variant_occurs_once_before_any_occurs_again(protocol: str) -> None:
    all_variants = list(variants(protocol))

    def steps(faults: object) -> Counter[object]:
        assert isinstance(faults, list)
        return Counter((fault.kind, fault.api, fault.after, fault.code) for fault in faults)

    assert steps(draw(3, len(all_variants), protocol)) == steps(all_variants)


def test_kills_happen_before_and_after_every_step_of_the_commit() -> None:
    steps_met = {
        (f.api.name, f.after)
        for f in variants("consumer")
        if f.kind is Kind.KILL_AT_STEP and f.api is not None
    }
    steps = {"PRODUCE", "ADD_OFFSETS_TO_TXN", "TXN_OFFSET_COMMIT", "END_TXN"}
    assert steps_met == {(step, after) for step in steps for after in (False, True)}


def test_heartbeats_are_those_of_the_group_protocol() -> None:
    names = {
        protocol: {fault.api.name for fault in variants(protocol) if fault.api is not None}
        for protocol in ("classic", "consumer")
    }
    assert names["classic"] - names["consumer"] == {"HEARTBEAT"}
    assert names["consumer"] - names["classic"] == {"CONSUMER_GROUP_HEARTBEAT"}


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault(Kind.KILL), "kill -9"),
        (Fault(Kind.KILL_AT_STEP, api=Api.END_TXN, after=True), "kill -9 at a step after EndTxn"),
        (Fault(Kind.WIRE_CUT, api=Api.FETCH, nth=3), "wire disconnect before Fetch, request 3"),
        (
            Fault(Kind.WIRE_ERROR, api=Api.TXN_OFFSET_COMMIT, code=15, chance=0.2),
            "wire error COORDINATOR_NOT_AVAILABLE at TxnOffsetCommit, 20% of the requests",
        ),
    ],
)
def test_fault_is_described_in_kafka_terms(fault: Fault, text: str) -> None:
    assert str(fault) == text


def test_every_error_that_is_drawn_has_a_name() -> None:
    assert not [code for codes in ERRORS.values() for code in codes if error_name(code).startswith("error")]


def test_each_worker_is_bounced_three_times_and_the_broker_once() -> None:
    faults = bounces(3)
    assert Counter(fault.worker for fault in faults if fault.kind is not Kind.BROKER_KILL) == {
        0: 3,
        1: 3,
        2: 3,
    }
    assert Counter(fault.kind for fault in faults) == {Kind.KILL: 6, Kind.TERM: 3, Kind.BROKER_KILL: 1}


def test_each_node_is_killed_once_if_there_are_several() -> None:
    faults = bounces(3, nodes=3)
    killed = [fault.worker for fault in faults if fault.kind is Kind.LEADER_KILL]
    assert killed == [0, 1, 2]
    assert Kind.BROKER_KILL not in {fault.kind for fault in faults}
