"""Describes the requests that a campaign tampered with."""

from collections.abc import Iterator, Mapping

from stream.cli.app import quantity

_ERRORS = {
    "error 6": "NOT_LEADER_OR_FOLLOWER",
    "error 7": "REQUEST_TIMED_OUT",
    "error 14": "COORDINATOR_LOAD_IN_PROGRESS",
    "error 15": "COORDINATOR_NOT_AVAILABLE",
    "error 16": "NOT_COORDINATOR",
    "error 25": "UNKNOWN_MEMBER_ID",
    "error 27": "REBALANCE_IN_PROGRESS",
    "error 51": "CONCURRENT_TRANSACTIONS",
    "error 56": "KAFKA_STORAGE_ERROR",
}  # as in org.apache.kafka.common.protocol.Errors
_ACTIONS = {
    "disconnect before": "request lost with its connection",
    "disconnect after": "response lost with its connection",
    "delay before": "request delayed",
    "delay after": "response delayed",
    "no brokers": "answered without brokers",
}


def describe_requests(wire: Mapping[str, int]) -> Iterator[str]:
    """Yield a line for each request and action; a key of `wire` is `ACTION REQUEST`."""
    for key in sorted(wire, key=lambda key: key.rpartition(" ")[::-1]):
        action, _, request = key.rpartition(" ")
        name = "".join(part.capitalize() for part in request.split("_"))
        if action.startswith("error "):
            description = f"answered with {_ERRORS.get(action, action)}"
        else:
            description = _ACTIONS.get(action, action)
        yield f"{name} {description}, {quantity(wire[key], 'time')}"
