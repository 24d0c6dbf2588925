"""Transactions that Kafka itself tore, found in the logs of the brokers (decision 21)."""

import pytest

from stream.tools.chaos.kafka_tear import find_tears
from stream.tools.kafka.cluster_view import coordinator_partition

ID = "anagram-counter-worker-1"
PARTITION = coordinator_partition(ID, 8)


def sent(time: str, epoch: int, result: str, start: int, transactional_id: str = ID) -> str:
    return (
        f"2026-11-28T19:35:{time} INFO [Transaction State Manager 1]: Sending txn markers for "
        f"TransactionalIdCoordinatorEpochAndTransitMetadata[transactionalId={transactional_id}, "
        f"coordinatorEpoch={epoch}, result={result}, txnMetadata=TransactionMetadata(producerId=1000, "
        f"txnStartTimestamp={start}, txnLastUpdateTimestamp=9)] (kafka.coordinator)\n"
    )


def resigned(time: str, epoch: int, partition: int = PARTITION) -> str:
    return (
        f"2026-11-28T19:35:{time} INFO [TransactionCoordinator id=1] Resigned as the txn coordinator for "
        f"partition {partition} at epoch Some({epoch}) (kafka.coordinator)\n"
    )


def test_transaction_that_was_committed_and_aborted_is_torn() -> None:
    """The coordinator acted on a decision that no other replica had, and its successor decided otherwise."""
    logs = {1: sent("40,830", 36, "COMMIT", 7), 2: sent("43,743", 38, "ABORT", 7)}
    (torn,) = find_tears(logs, "anagram-counter")
    assert torn.startswith(f"{ID} (started at 7): node 1 committed it at 2026-11-28 19:35:40")
    assert "node 2 aborted it" in torn


def test_transaction_that_was_committed_after_the_leadership_was_lost_is_torn() -> None:
    """The coordinator stopped loading midway, and mistook an earlier decision for the last one."""
    logs = {1: resigned("40,100", 37) + sent("40,830", 36, "COMMIT", 7), 2: ""}
    (torn,) = find_tears(logs, "anagram-counter")
    assert "resigned as its coordinator at 2026-11-28 19:35:40.100000" in torn


@pytest.mark.parametrize(
    "logs",
    [
        {1: sent("40,830", 36, "COMMIT", 7), 2: sent("43,743", 38, "COMMIT", 7)},
        {1: sent("40,830", 36, "COMMIT", 7), 2: sent("43,743", 38, "ABORT", 8)},
        {1: sent("40,830", 36, "ABORT", 7), 2: sent("43,743", 38, "ABORT", 7)},
        {1: sent("40,830", 36, "COMMIT", 7) + resigned("41,289", 37)},
        {1: resigned("40,100", 36) + sent("40,830", 36, "COMMIT", 7)},
        {1: resigned("40,100", 37, PARTITION + 1) + sent("40,830", 36, "COMMIT", 7)},
        {1: sent("40,830", 36, "COMMIT", 7), 2: resigned("40,100", 37)},
        {1: sent("40,830", 36, "COMMIT", 7, "probe"), 2: sent("43,743", 38, "ABORT", 7, "probe")},
        {},
    ],
    ids=["repeated", "another", "aborted", "later", "same-epoch", "partition", "node", "group", "nothing"],
)
def test_markers_that_a_new_coordinator_sends_again_are_not_a_tear(logs: dict[int, str]) -> None:
    assert find_tears(logs, "anagram-counter") == []
