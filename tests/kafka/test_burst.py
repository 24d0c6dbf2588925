"""A small transaction is produced in one burst that starts with the first record of each log."""

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.burst import BURST_BYTES_MAX, BURST_RECORDS_MAX, Burst, Run
from stream.kafka.offsets import LogPartition

LOGS = (("results", 0), ("results", 1), ("counts", 0))
Sent = tuple[LogPartition, bytes | None, bool]


def run(log: LogPartition, values: list[bytes], *, is_reported: bool = True) -> Run:
    return Run(log, [None] * len(values), values, is_reported=is_reported)


def records(sent: Run) -> list[Sent]:
    last = len(sent) - 1
    return [
        (sent.log, value, sent.is_reported and position == last) for position, value in enumerate(sent.values)
    ]


def produced(runs: list[Run]) -> list[Sent]:
    """Return the records in the order in which the burst produces them after the last run."""
    taken = list[Sent]()
    burst = Burst(lambda sent: taken.extend(records(sent)))
    for each in runs:
        burst.add(each)
    burst.release()
    return taken


runs_of_records = st.lists(
    st.builds(
        run,
        st.sampled_from(LOGS),
        st.lists(st.binary(max_size=3), max_size=4),
        is_reported=st.booleans(),
    ),
    max_size=8,
)


@given(runs_of_records)
def test_each_log_has_the_same_records_in_the_same_order(runs: list[Run]) -> None:
    expected = [record for each in runs for record in records(each)]
    taken = produced(runs)
    for log in LOGS:
        assert [sent for sent in taken if sent[0] == log] == [sent for sent in expected if sent[0] == log]


@given(runs_of_records)
def test_the_first_record_of_each_log_comes_first(runs: list[Run]) -> None:
    taken = produced(runs)
    logs = {log for log, _, _ in taken}
    assert {log for log, _, _ in taken[: len(logs)]} == logs


def test_records_of_a_large_transaction_are_not_held_back() -> None:
    for value, number in ((b"x", BURST_RECORDS_MAX), (b"x" * BURST_BYTES_MAX, 1)):
        taken = list[Run]()
        burst = Burst(taken.append)
        burst.add(run(LOGS[0], [value] * number))
        burst.add(run(LOGS[1], [value]))
        assert {log for log, _ in groupby(taken, lambda sent: sent.log)} == {LOGS[0], LOGS[1]}
        taken.clear()
        burst.add(run(LOGS[0], [value]))
        assert [records(sent) for sent in taken] == [[(LOGS[0], value, True)]]
