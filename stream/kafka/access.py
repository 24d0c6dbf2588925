"""What a worker may do on a cluster with ACLs: everything that it needs, and nothing more."""

from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote

from stream.config import Settings
from stream.errors import Refused
from stream.kafka.failure import ACCESS_HINT
from stream.kafka.topics import Topics


@dataclass(frozen=True, slots=True)
class RequiredAcl:
    """Operations on one resource.

    Attributes:
        resource: `topic`, `group` or `transactional-id`, as `kafka-acls.sh` names them.
        name: of the resource; of every one that begins so where `prefixed`.
        operations: as `kafka-acls.sh` names them; DESCRIBE comes with READ and WRITE by itself.
    """

    resource: str
    name: str
    operations: Sequence[str]
    prefixed: bool = False

    def command(self, bootstrap_servers: str, principal: str) -> str:
        """Return the command that grants it."""
        operations = " ".join(f"--operation {operation}" for operation in self.operations)
        pattern = " --resource-pattern-type prefixed" if self.prefixed else ""
        return (
            f"kafka-acls.sh --bootstrap-server {quote(bootstrap_servers)} --add "
            f"--allow-principal {quote(principal)} {operations} --{self.resource} {quote(self.name)}{pattern}"
        )


def worker_needs(settings: Settings) -> list[RequiredAcl]:
    """Return what `anagram-stream worker` needs. Transactional ids are `<group>-<instance>`."""
    return [
        RequiredAcl("topic", settings.input_topic, ("Read", "DescribeConfigs")),
        RequiredAcl("topic", settings.result_topic, ("Write", "DescribeConfigs")),
        RequiredAcl("topic", settings.dead_letter_topic, ("Write", "DescribeConfigs")),
        RequiredAcl("topic", settings.count_topic, ("Read", "Write", "DescribeConfigs")),
        RequiredAcl("group", settings.group_id, ("Read",)),
        RequiredAcl("transactional-id", f"{settings.group_id}-", ("Write",), prefixed=True),
    ]


def check_access(found: Topics, settings: Settings) -> None:
    """Check that a worker may do with the topics what it will have to, now or after a crash.

    What the group and the transactional id lack shows at the first call.

    Raises:
        Refused: something that it needs is not granted.
    """
    facts = {topic.name: topic for topic in (found.input, found.result, found.count, found.dead_letter)}
    lacking = [
        f"{operation} on {need.name}"
        for need in worker_needs(settings)
        if need.resource == "topic" and (granted := facts[need.name].operations) is not None
        for operation in need.operations
        if operation.lower() not in granted
    ]
    if lacking:
        raise Refused(f"Kafka does not grant {', '.join(lacking)}", ACCESS_HINT)
