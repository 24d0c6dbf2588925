"""The check that the output logs contain the committed records, for all partitions at once."""

from collections.abc import Sequence

import pytest

from stream.core.evidence import LogEnd
from stream.errors import LogsChanged
from stream.kafka.offsets import LogPartition, Offsets
from stream.kafka.output_logs import OutputLogs
from stream.worker.assignment import Assignment

TOPICS = {"result": "results", "count": "counts", "dead-letter": "letters"}


class CountedOffsets(Offsets):
    """Returns the prepared ends of the logs and records the requests."""

    def __init__(self, present: dict[LogPartition, tuple[int, int]]) -> None:
        super().__init__(lambda: pytest.fail("no client is needed"))
        self.present = present
        self.requested: list[Sequence[LogPartition]] = []

    def ends(self, logs: Sequence[LogPartition]) -> dict[LogPartition, tuple[int, int]]:
        self.requested.append(logs)
        return {log: self.present[log] for log in logs}


def check(offsets: CountedOffsets, known: dict[int, LogEnd]) -> None:
    assignment = Assignment()
    for number, end in known.items():
        assignment.add(number)
        assignment[number].ends = {"dead-letter": end}
    assignment.check_logs(OutputLogs({}, offsets, TOPICS).ends, dict.fromkeys(known, ("dead-letter",)))


def test_ends_of_all_partitions_take_one_request() -> None:
    offsets = CountedOffsets({("letters", number): (9, 4) for number in range(6)})
    check(offsets, {number: LogEnd(number, 5, leader_epoch=4) for number in range(6)})
    assert offsets.requested == [[("letters", number) for number in range(6)]]


def test_log_that_input_partitions_share_is_requested_once_and_checked_for_each() -> None:
    offsets = CountedOffsets({("letters", 0): (7, 4)})
    check(offsets, {0: LogEnd(0, 5, leader_epoch=4), 1: LogEnd(0, 7, leader_epoch=4)})
    assert offsets.requested == [[("letters", 0)]]
    with pytest.raises(LogsChanged, match="before offset 8"):
        check(offsets, {0: LogEnd(0, 5, leader_epoch=4), 1: LogEnd(0, 8, leader_epoch=4)})


def test_nothing_is_requested_if_nothing_was_committed() -> None:
    offsets = CountedOffsets({})
    assignment = Assignment()
    assignment.add(0)
    assignment.check_logs(OutputLogs({}, offsets, TOPICS).ends, {0: ["dead-letter"]})
    assert offsets.requested == []
