"""The offsets of a transaction's records, from their delivery reports."""

from typing import Any, cast

import pytest

from stream.core.evidence import Appended, checksum
from stream.errors import Abortable
from stream.kafka.burst import Run
from stream.kafka.deliveries import Deliveries

LOG = ("results", 0)


class Delivered:
    """A message with an offset."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def topic(self) -> str:
        return LOG[0]

    def partition(self) -> int:
        return LOG[1]

    def offset(self) -> int:
        return self._offset


def run(records: int) -> Run:
    """Return a run of that many results; each key is the number of its result, from 1."""
    keys = [b"%d" % number for number in range(1, records + 1)]
    return Run(LOG, keys, [b"{}"] * records, [0] * records, [[]] * records, is_reported=True)


def report(deliveries: Deliveries, offset: int, error: object = None) -> None:
    deliveries.report(cast("Any", error), cast("Any", Delivered(offset)))


def test_several_runs_end_at_the_last_record_of_the_last_run() -> None:
    deliveries = Deliveries()
    deliveries.add(0, "result", run(2000))
    report(deliveries, 1999)
    deliveries.add(0, "result", run(500))
    report(deliveries, 2499)
    assert deliveries.appended() == {0: {"result": Appended(0, 2500, 2500, checksum(b"500", b"{}", []))}}


@pytest.mark.parametrize("error", [None, "timed out"])
def test_run_without_a_report_is_not_considered_delivered(error: str | None) -> None:
    """The leader died after the first run: the log did not shrink, but the second run was not appended."""
    deliveries = Deliveries()
    for _ in (1, 2):
        deliveries.add(0, "result", run(2000))
    report(deliveries, 1999)
    if error:
        report(deliveries, -1, error)
    with pytest.raises(Abortable, match="did not confirm"):
        deliveries.appended()
