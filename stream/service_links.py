"""Recognises the variables that Kubernetes sets in each container for the Services of its namespace."""

import re
from collections.abc import Mapping
from ipaddress import ip_address

# Those of a Service named `stream` or `stream-…`, which begin as settings do: name=value.
_LINK = re.compile(
    r"""STREAM(_[A-Z0-9]+)* (
        _SERVICE_HOST = (?P<host> \S+)
      | _SERVICE_PORT (_[A-Z0-9_]+)? = \d+
      | _PORT (_\d+_(TCP|UDP|SCTP))? = (tcp|udp|sctp) :// [^\s/]+ : \d+
      | _PORT_\d+_(TCP|UDP|SCTP) ( _PROTO = (tcp|udp|sctp) | _PORT = \d+ | _ADDR = (?P<address> \S+) )
    )""",
    re.VERBOSE,
)


def names_of_service_links(environment: Mapping[str, str]) -> list[str]:
    """Return the names of the variables whose name and value have the shape of a service link."""
    return sorted(name for name, value in environment.items() if _is_service_link(name, value))


def _is_service_link(name: str, value: str) -> bool:
    match = _LINK.fullmatch(f"{name}={value}")
    if match is None:
        return False
    address = match["host"] or match["address"]
    try:
        return address is None or bool(ip_address(address))
    except ValueError:
        return False
