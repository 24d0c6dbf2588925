"""The lines about requests with injected faults in the score of `chaos`."""

import re

from stream.cli.chaos_requests import describe_requests
from stream.tools.chaos.plan import ERRORS


def test_each_action_on_a_request_is_one_line() -> None:
    wire = {
        "error 15 TXN_OFFSET_COMMIT": 6,
        "delay before FETCH": 1,
        "disconnect after FETCH": 2,
        "no brokers METADATA": 3,
    }
    assert list(describe_requests(wire)) == [
        "Fetch request delayed, 1 time",
        "Fetch response lost with its connection, 2 times",
        "Metadata answered without brokers, 3 times",
        "TxnOffsetCommit answered with COORDINATOR_NOT_AVAILABLE, 6 times",
    ]


def test_every_injected_error_has_a_name() -> None:
    codes = {code for of_request in ERRORS.values() for code in of_request}
    for line in describe_requests({f"error {code} PRODUCE": 1 for code in codes}):
        assert re.fullmatch("Produce answered with [A-Z_]+, 1 time", line)
