"""The minimal ACLs of a worker, of a replay of dead letters, and of `serve`."""

from collections.abc import Sequence
from dataclasses import dataclass

from stream.config import Settings
from stream.errors import Refused
from stream.kafka.failure import ACCESS_HINT
from stream.kafka.topics import Topics


@dataclass(frozen=True, slots=True)
class RequiredAcl:
    """Operations on one resource that a worker needs.

    Attributes:
        resource: `topic`, `group` or `transactional-id`.
        name: the name of the resource; if `prefixed`, the prefix of its name.
        operations: names of operations, as in Kafka; Read and Write include Describe.
    """

    resource: str
    name: str
    operations: Sequence[str]
    prefixed: bool = False


def worker_acls(settings: Settings) -> list[RequiredAcl]:
    """Return the ACLs that `anagram-stream worker` needs. Transactional ids are `<group>-<instance>`."""
    return [
        RequiredAcl("topic", settings.input_topic, ("Read", "DescribeConfigs")),
        RequiredAcl("topic", settings.result_topic, ("Read", "Write", "DescribeConfigs")),
        RequiredAcl("topic", settings.dead_letter_topic, ("Read", "Write", "DescribeConfigs")),
        RequiredAcl("topic", settings.count_topic, ("Read", "Write", "DescribeConfigs")),
        RequiredAcl("group", settings.group_id, ("Read",)),
        RequiredAcl("transactional-id", f"{settings.group_id}-", ("Write",), prefixed=True),
    ]


def replay_acls(settings: Settings) -> list[RequiredAcl]:
    """Return the ACLs that `anagram-stream dead-letters replay` and `import` need."""
    return [
        RequiredAcl("topic", settings.input_topic, ("Read", "Write", "DescribeConfigs")),
        RequiredAcl("topic", settings.result_topic, ("Describe", "DescribeConfigs")),
        RequiredAcl("topic", settings.dead_letter_topic, ("Read", "Write", "DescribeConfigs")),
        RequiredAcl("topic", settings.count_topic, ("Describe", "DescribeConfigs")),
        RequiredAcl("group", f"{settings.group_id}-replay", ("Read",)),
        RequiredAcl("transactional-id", f"{settings.group_id}-replay", ("Write",)),
    ]


def serve_acls(settings: Settings) -> list[RequiredAcl]:
    """Return the ACLs that `anagram-stream serve` needs; it writes only if it accepts submitted blobs."""
    submit = ("Write",) if settings.serve_submit else ()
    return [
        RequiredAcl("topic", settings.input_topic, ("Read", *submit)),
        RequiredAcl("topic", settings.result_topic, ("Read",)),
        RequiredAcl("topic", settings.dead_letter_topic, ("Read",)),
        RequiredAcl("topic", settings.count_topic, ("Read",)),
        RequiredAcl("group", settings.group_id, ("Describe",)),
    ]


def check_access(topics: Topics, settings: Settings) -> None:
    """Check that Kafka grants the worker all operations on the topics, including those needed after a crash.

    Missing access to the group or the transactional id is reported by the first call that needs it.

    Raises:
        Refused: Kafka does not grant an operation.
    """
    facts = {topic.name: topic for topic in (topics.input, topics.result, topics.count, topics.dead_letter)}
    missing = [
        f"{operation} on {acl.name}"
        for acl in worker_acls(settings)
        if acl.resource == "topic" and (granted := facts[acl.name].operations) is not None
        for operation in acl.operations
        if operation.lower() not in granted
    ]
    if missing:
        raise Refused(f"Kafka does not grant {', '.join(missing)}", ACCESS_HINT)
