"""Describes the requests that a campaign tampered with."""

from collections.abc import Iterator, Mapping

from stream.cli.app import quantity
from stream.tools.chaos.proxy.rules import error_name

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
        kind, _, code = action.partition(" ")
        if kind == "error":
            description = f"answered with {error_name(int(code))}"
        else:
            description = _ACTIONS.get(action, action)
        yield f"{name} {description}, {quantity(wire[key], 'time')}"
