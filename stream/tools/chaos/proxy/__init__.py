"""A TCP proxy that speaks enough of Kafka's protocol to do harm at chosen requests.

Point a listener's advertised port at it, and it needs to rewrite nothing:

    proxy = FaultProxy()
    with EmbeddedBroker(listeners={"PROXIED": "PLAINTEXT"}, advertised={"PROXIED": proxy.port}) as broker:
        proxy.start(broker.bound("PROXIED"))
        rule = proxy.add(Rule(Api.END_TXN, Disconnect(after=True), When.once()))

The verbs are those of Kafka's own `KafkaProtocolFaultProxy` (KAFKA-21074).
"""

from stream.tools.chaos.proxy.rules import Api, Delay, Disconnect, Error, Rule, When
from stream.tools.chaos.proxy.server import FaultProxy

__all__ = ["Api", "Delay", "Disconnect", "Error", "FaultProxy", "Rule", "When"]
