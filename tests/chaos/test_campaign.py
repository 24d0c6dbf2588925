"""Short campaigns on a real broker; the long ones are `anagram-stream chaos`."""

from pathlib import Path

import pytest

from stream.tools.chaos.campaign import Campaign, Order
from stream.tools.chaos.load import Size
from stream.tools.chaos.plan import Kind, bounces, draw
from stream.tools.chaos.score import Score

pytestmark = [pytest.mark.broker, pytest.mark.embedded, pytest.mark.chaos, pytest.mark.timeout(600)]


def run(order: Order, folder: Path) -> Score:
    score = Campaign(order, folder, lambda _: None).run()
    assert score.holds, score.as_json()
    return score


@pytest.mark.parametrize("processes", [1, 2])
def test_one_fault_of_each_class_under_the_consumer_protocol(tmp_path: Path, processes: int) -> None:
    kinds = set(Kind) if processes > 1 else set(Kind) - {Kind.KILL_PROCESS}
    order = Order(
        11,
        "consumer",
        static=False,
        size=Size(10_000, 20),
        faults=draw(11, len(kinds), "consumer", processes),
        workers=4 - processes,
        processes=processes,
    )
    score = run(order, tmp_path)
    assert set(score.faults) | set(score.missed) == kinds
    assert score.missed.total() <= 1, score.missed
    assert score.wire, "the proxy met no request"


def test_kafka_transactions_test_under_the_classic_protocol(tmp_path: Path) -> None:
    """100,000 records, 750 a transaction, each worker bounced three times, the broker killed."""
    order = Order(12, "classic", True, Size(100_000, 5), bounces(3), batch_records_max=750)
    score = run(order, tmp_path)
    assert score.faults[Kind.BROKER_KILL] == 1
    assert score.faults.total() == 10
