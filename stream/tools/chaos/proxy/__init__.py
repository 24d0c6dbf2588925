"""A TCP proxy that injects faults into chosen requests of Kafka's protocol.

The broker advertises the port of the proxy, so the proxy need not rewrite responses:

    proxy = FaultProxy()
    with EmbeddedBroker(listeners={"PROXIED": "PLAINTEXT"}, advertised={"PROXIED": proxy.port}) as broker:
        proxy.start(broker.bound("PROXIED"))
        rule = proxy.add(Rule(Api.END_TXN, Disconnect(after=True), When.once()))

The actions are those of Kafka's own `KafkaProtocolFaultProxy` (KAFKA-21074).
"""

from stream.tools.chaos.proxy.group import ProxyGroup
from stream.tools.chaos.proxy.rules import (
    Api,
    Delay,
    Disconnect,
    Error,
    NoBrokers,
    Rule,
    When,
    error_name,
)
from stream.tools.chaos.proxy.server import FaultProxy

__all__ = [
    "Api",
    "Delay",
    "Disconnect",
    "Error",
    "FaultProxy",
    "NoBrokers",
    "ProxyGroup",
    "Rule",
    "When",
    "error_name",
]
