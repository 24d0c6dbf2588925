"""Grants ACLs to a principal."""

from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from stream.errors import Misconfigured, Refused
from stream.kafka.access import RequiredAcl
from stream.kafka.clients import Admin
from stream.kafka.failure import describe, from_call, kafka_error
from stream.kafka.futures import wait_for_result
from stream.kafka.offsets import REQUEST_TIMEOUT_S

_RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
}
_OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}


def grant(admin: Admin, acls: Sequence[RequiredAcl], principal: str) -> None:
    """Create the ACLs; existing ones stay.

    Raises:
        Misconfigured: the principal has no type.
        Refused: the brokers have no authorizer, or this user may not create ACLs.
        Retriable: the broker is unavailable.
    """
    kind, separator, name = principal.partition(":")
    if not (kind and separator and name):
        raise Misconfigured(f"'{principal}' is not a principal", "include its type, such as User:anagrams")
    bindings = [
        AclBinding(
            _RESOURCES[acl.resource],
            acl.name,
            ResourcePatternType.PREFIXED if acl.prefixed else ResourcePatternType.LITERAL,
            principal,
            "*",
            _OPERATIONS[operation],
            AclPermissionType.ALLOW,
        )
        for acl in acls
        for operation in acl.operations
    ]
    for future in admin.create_acls(bindings, request_timeout=REQUEST_TIMEOUT_S).values():
        try:
            wait_for_result(future)
        except KafkaException as error:
            raise _refusal(kafka_error(error)) from error


def _refusal(error: KafkaError) -> Exception:
    if error.code() == KafkaError.SECURITY_DISABLED:
        return Refused(
            "the brokers have no authorizer, so every client may do everything",
            "no ACL is needed; to restrict access, set authorizer.class.name on the brokers",
        )
    if error.code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
        return Refused(
            f"this user may not create ACLs: {describe(error)}",
            "set STREAM_KAFKA_CONFIG to the file of an administrator with Alter on the cluster",
        )
    return from_call(error)
