"""Asks the cluster which group protocols it supports, and which one the group uses."""

from confluent_kafka.admin import ConfigResource  # type: ignore[attr-defined]

from stream.client_properties import CLASSIC_ONLY
from stream.config import Settings
from stream.core.group_protocol import CLASSIC, CONSUMER, GroupFacts
from stream.errors import Retriable, StreamError
from stream.kafka.clients import Admin
from stream.kafka.futures import result_of

REQUEST_TIMEOUT_S = 5.0
PROTOCOLS = "group.coordinator.rebalance.protocols"  # brokers before Kafka 3.7 have only classic groups


def read_group_facts(admin: Admin, group_id: str) -> GroupFacts:
    """Return which protocols the brokers support, and which one the group uses.

    Raises:
        Retriable: the broker is unavailable.
        Refused: Kafka rejected the connection.
    """
    broker = broker_ids(admin)[0]
    try:
        supported = frozenset(broker_configs(admin, broker).get(PROTOCOLS, CLASSIC).split(","))
    except Retriable:
        raise
    except StreamError:  # no access to the configuration of the brokers
        return GroupFacts(None, _used(admin, group_id))
    return GroupFacts(supported & {CLASSIC, CONSUMER}, _used(admin, group_id))


def needs_classic(settings: Settings) -> bool:
    """Return whether a setting works only with the classic protocol."""
    return settings.static_membership or not CLASSIC_ONLY.isdisjoint(settings.client_config)


def broker_ids(admin: Admin) -> list[int]:
    """Return the ids of the brokers.

    Raises:
        Retriable: no broker responds.
        Refused: Kafka rejected the connection.
    """
    futures = {"cluster": admin.describe_cluster(request_timeout=REQUEST_TIMEOUT_S)}
    brokers = [node.id for node in result_of(admin.wait_for(futures)["cluster"]).nodes]
    if not brokers:  # a node that starts or shuts down lists none, not even itself
        raise Retriable("the cluster lists no brokers")
    return brokers


def broker_configs(admin: Admin, broker: int) -> dict[str, str]:
    """Return a broker's configuration.

    Raises:
        StreamError: the request failed; it needs DescribeConfigs on the cluster.
    """
    resource = ConfigResource(ConfigResource.Type.BROKER, str(broker))
    entries = result_of(admin.describe_configs([resource], request_timeout=REQUEST_TIMEOUT_S)[resource])
    return {entry.name: entry.value for entry in entries.values()}


def _used(admin: Admin, group_id: str) -> str:
    try:
        described = result_of(
            admin.describe_consumer_groups([group_id], request_timeout=REQUEST_TIMEOUT_S)[group_id]
        )
    except Retriable:
        raise
    except StreamError:  # no access to the group: joining it reports the error
        return ""
    return str(described.type.name).lower() if described.members else ""
