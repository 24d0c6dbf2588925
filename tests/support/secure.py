"""A broker with TLS, SCRAM and ACLs, and its certificates, users and grants."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from stream.broker.embedded import EmbeddedBroker
from stream.kafka.access import RequiredAcl

LISTENER = "SECURE"
RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
}
OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}


@dataclass(frozen=True)
class SecureBroker:
    """A broker with a plain listener for the administrator and a secure one for users."""

    broker: EmbeddedBroker
    ca: Path
    admin: AdminClient

    @property
    def address(self) -> str:
        return self.broker.address(LISTENER)

    def add_user(self, user: str, password: str) -> None:
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        futures = self.admin.alter_user_scram_credentials(
            [UserScramCredentialUpsertion(user, info, password.encode())]
        )
        futures[user].result(30)

    def grant(self, user: str, acls: Iterable[RequiredAcl]) -> None:
        bindings = [
            AclBinding(
                RESOURCES[acl.resource],
                acl.name,
                ResourcePatternType.PREFIXED if acl.prefixed else ResourcePatternType.LITERAL,
                f"User:{user}",
                "*",
                OPERATIONS[operation],
                AclPermissionType.ALLOW,
            )
            for acl in acls
            for operation in acl.operations
        ]
        for future in self.admin.create_acls(bindings).values():
            future.result(30)

    def client_config(self, folder: Path, user: str, password: str, ca: Path | None = None) -> Path:
        """Write and return the file for STREAM_KAFKA_CONFIG."""
        path = folder / f"{user}.properties"
        path.write_text(
            "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\n"
            f"sasl.username={user}\nsasl.password={password}\nssl.ca.location={ca or self.ca}\n"
        )
        return path


def pkcs8(key: bytes) -> bytes:
    """Convert an unencrypted key to PKCS 8, the only form that Java reads."""
    return load_pem_private_key(key, password=None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


@contextmanager
def secure_broker(folder: Path, properties: dict[str, str]) -> Iterator[SecureBroker]:
    authority = trustme.CA()
    own = authority.issue_cert("localhost")
    ca, key = folder / "ca.pem", folder / "broker.pem"
    authority.cert_pem.write_to_path(str(ca))
    key.write_bytes(pkcs8(own.private_key_pem.bytes()) + b"".join(pem.bytes() for pem in own.cert_chain_pems))
    prefix = f"listener.name.{LISTENER.lower()}."
    secured = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",  # users of the plain listener: broker, controller, administrator
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        f"{prefix}scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        f"{prefix}ssl.keystore.type": "PEM",
        f"{prefix}ssl.keystore.location": str(key),
    }
    with EmbeddedBroker(listeners={LISTENER: "SASL_SSL"}, properties={**properties, **secured}) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
        yield SecureBroker(broker, ca, admin)


def another_ca(folder: Path) -> Path:
    """Write and return the certificate of an authority that no broker uses."""
    path = folder / "other-ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return path
