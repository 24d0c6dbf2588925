"""Short campaigns on a real broker; the long ones are `anagram-stream chaos`."""

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from stream.tools.chaos.accident import Accident, Outcome
from stream.tools.chaos.campaign import Campaign
from stream.tools.chaos.options import CampaignOptions
from stream.tools.chaos.plan import CLUSTER, Kind, bounces, draw
from stream.tools.chaos.producer import InputSize
from stream.tools.chaos.score import Score

pytestmark = [pytest.mark.broker, pytest.mark.embedded, pytest.mark.chaos, pytest.mark.timeout(600)]


def run(options: CampaignOptions, folder: Path) -> Score:
    score = Campaign(options, folder, lambda _: None).run()
    assert score.holds, orjson.dumps(score.as_json(), option=orjson.OPT_INDENT_2).decode()
    return score


@pytest.mark.parametrize("processes", [1, 2])
def test_one_fault_of_each_class_under_the_consumer_protocol(tmp_path: Path, processes: int) -> None:
    kinds = set(Kind) - CLUSTER - ({Kind.KILL_PROCESS} if processes == 1 else set())
    options = CampaignOptions(
        11,
        "consumer",
        static=False,
        size=InputSize(10_000, 20),
        faults=draw(11, len(kinds), "consumer", processes),
        workers=4 - processes,
        processes=processes,
    )
    score = run(options, tmp_path)
    assert set(score.faults) | set(score.missed) == kinds
    assert score.missed.total() <= 1, score.missed
    assert score.wire, "the proxy affected no request"


@pytest.mark.parametrize(
    ("accident", "protocol", "commands"),
    [
        (Accident.OFFSETS_AHEAD, "classic", ["anagram-stream offsets resume --yes"]),
        (Accident.RESULT_TRUNCATED, "consumer", ["anagram-stream offsets resume --accept-loss --yes"]),
        (Accident.COUNT_RECREATED, "classic", []),
    ],
)
def test_accident_is_refused_and_the_printed_command_resumes(
    tmp_path: Path, accident: Accident, protocol: str, commands: list[str]
) -> None:
    options = CampaignOptions(
        13, protocol, protocol == "classic", InputSize(2_000, 20), draw(13, 2, protocol), accident=accident
    )
    report = run(options, tmp_path).accident
    assert report is not None
    assert report.outcome(is_exact=True) is Outcome.REFUSED
    assert report.commands == commands
    assert report.is_final == (not commands)
    assert (report.skipped > 0) == (accident is Accident.RESULT_TRUNCATED)


def test_kafka_transactions_test_under_the_classic_protocol(tmp_path: Path) -> None:
    """100,000 records, 750 per transaction; each worker is bounced three times, the broker is killed once."""
    options = CampaignOptions(12, "classic", True, InputSize(100_000, 5), bounces(3), batch_records_max=750)
    score = run(options, tmp_path)
    assert score.faults[Kind.BROKER_KILL] == 1
    assert score.faults.total() == 10


def test_three_nodes_are_killed_stopped_and_frozen_while_probes_run(tmp_path: Path) -> None:
    faults = [fault for fault in draw(14, 4 * len(CLUSTER), "consumer", nodes=3) if fault.kind in CLUSTER]
    first = {fault.kind: replace(fault, seconds=2.0) for fault in reversed(faults)}
    kinds = (
        Kind.TRANSACTION_COORDINATOR_KILL,
        Kind.CONTROLLER_KILL,
        Kind.NODE_STOP,
        Kind.LEADERS_MOVED,
        Kind.NODE_FROZEN,
        Kind.IN_SYNC_DOWN,
    )
    chosen = [first[kind] for kind in kinds]
    options = CampaignOptions(14, "consumer", False, InputSize(10_000, 20), chosen, nodes=3)
    score = run(options, tmp_path)
    assert score.faults == dict.fromkeys(kinds, 1)
    assert set(score.stalls_s) == set(score.probe_stalls_s) == set(kinds)
    assert score.probe_commits > 0
