"""Chooses the group protocol: `consumer` (KIP-848) or the older `classic`."""

from dataclasses import dataclass

from stream.errors import Refused

AUTO, CLASSIC, CONSUMER = "auto", "classic", "consumer"
PREFERRED = CLASSIC  # decision 18 has the figures


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """What the cluster reports about group protocols.

    Attributes:
        supported: the protocols that the brokers support; None if unknown, because their configuration cannot
            be read.
        used: the protocol of the current members of the group; empty without members.
    """

    supported: frozenset[str] | None
    used: str = ""


def choose_protocol(requested: str, facts: GroupFacts, *, needs_classic: bool) -> tuple[str, str]:
    """Return the protocol to use, and why.

    `needs_classic`: a setting (static membership, session or heartbeat of the client) requires `classic`.
    All members of a group use one protocol: Kafka does not convert a group of `cooperative-sticky` members.

    Raises:
        Refused: the brokers do not support the requested protocol, or the members use another one.
    """
    if requested != AUTO:
        _check_possible(requested, facts)
        return requested, "STREAM_GROUP_PROTOCOL"
    if needs_classic:
        return CLASSIC, "static membership, session.timeout.ms and heartbeat.interval.ms require it"
    if facts.used:
        return facts.used, "the current members of the group use it"
    if facts.supported is None:
        return PREFERRED, "preferred; the protocols that the brokers support are unknown"
    if PREFERRED in facts.supported:
        return PREFERRED, f"preferred; the brokers support {_listed(facts.supported)}"
    return CONSUMER, f"the brokers support only {_listed(facts.supported)}"


def _check_possible(requested: str, facts: GroupFacts) -> None:
    if facts.supported is not None and requested not in facts.supported:
        raise Refused(
            f"STREAM_GROUP_PROTOCOL={requested}, but the brokers support only {_listed(facts.supported)}: "
            "the worker could not join the group, and would count nothing",
            "unset STREAM_GROUP_PROTOCOL: the worker then chooses one that the brokers support",
        )
    if facts.used not in {"", requested}:
        raise Refused(
            f"STREAM_GROUP_PROTOCOL={requested}, but the current members of the group use {facts.used}: "
            "Kafka does not allow both protocols in this group",
            "unset STREAM_GROUP_PROTOCOL, or stop all workers of the group first (killed workers remain "
            "members until their session expires)",
        )


def _listed(protocols: frozenset[str]) -> str:
    return ", ".join(sorted(protocols))
