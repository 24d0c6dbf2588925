"""KafkaError -> our tree: one mapping for transactional calls, one for the rest."""

from confluent_kafka import KafkaError, KafkaException

from stream.errors import Abortable, Fatal, Fenced, InDoubt, Refused, Retriable, StreamError

_FENCED = {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}  # noqa: SLF001
_NO_ACCESS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError._AUTHENTICATION,  # noqa: SLF001
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
}
_AWAY = {
    KafkaError._TRANSPORT,  # noqa: SLF001
    KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
    KafkaError._TIMED_OUT,  # noqa: SLF001
    KafkaError._TIMED_OUT_QUEUE,  # noqa: SLF001
    KafkaError._RESOLVE,  # noqa: SLF001
    KafkaError._WAIT_COORD,  # noqa: SLF001
    KafkaError._STATE,  # noqa: SLF001 - the assignment has not settled
    KafkaError._IN_PROGRESS,  # noqa: SLF001
    KafkaError._PREV_IN_PROGRESS,  # noqa: SLF001
    KafkaError._OUTDATED,  # noqa: SLF001
    KafkaError._DESTROY_BROKER,  # noqa: SLF001
    KafkaError._NOENT,  # noqa: SLF001 - no leader is known
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.CONCURRENT_TRANSACTIONS,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.NOT_COORDINATOR,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.UNSTABLE_OFFSET_COMMIT,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError.OFFSET_NOT_AVAILABLE,  # a new leader, KIP-207
    KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.PREFERRED_LEADER_NOT_AVAILABLE,
    KafkaError.LISTENER_NOT_FOUND,
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001 - metadata is still spreading
    # The group goes on without us: the next poll says which partitions are lost.
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError.FENCED_MEMBER_EPOCH,
}
ACCESS_HINT = "check user and ACLs; what grants a worker all that it needs: anagram-stream topics acls"


CALL_FAILED = (KafkaException, SystemError)
"""What a call that serves callbacks may raise: the latter where a callback follows a fatal error."""


def kafka_error(exception: Exception) -> KafkaError:
    """Return the error that an exception carries.

    Raises:
        StreamError: it was raised by a callback of ours.
        SystemError: it was no error of Kafka's.
    """
    carrier = exception.__cause__ if isinstance(exception, SystemError) else exception
    if isinstance(carrier, StreamError):
        raise carrier
    if not isinstance(carrier, KafkaException):
        raise exception
    found = carrier.args[0]
    assert isinstance(found, KafkaError)
    return found


def from_transaction(error: KafkaError, *, timed_out: bool) -> StreamError:
    """Map the error of a transactional call; only there are librdkafka's three flags set.

    `timed_out`: our transaction is older than its timeout. Then it was the coordinator that fenced us,
    not another member, and a new producer of the same id may go on (librdkafka#3928).
    """
    text = describe(error)
    if error.code() in _FENCED:
        if timed_out:
            return InDoubt(f"the broker ended our transaction, it was open for too long: {text}")
        return Fenced(f"another worker took over our transactional id: {text}")
    if error.code() in _NO_ACCESS:
        return Refused(f"Kafka refused: {text}", ACCESS_HINT)
    if error.txn_requires_abort() and not error.fatal():
        return Abortable(text)
    return InDoubt(text)


def from_call(error: KafkaError) -> StreamError:
    """Map the error of a consumer or admin call: a broker that is away or slow is waited for."""
    text = describe(error)
    if error.code() in _NO_ACCESS:
        return Refused(f"Kafka refused: {text}", ACCESS_HINT)
    if error.code() in {KafkaError.FENCED_INSTANCE_ID, KafkaError.UNRELEASED_INSTANCE_ID}:
        return Fenced(f"another worker has our group.instance.id: {text}")
    if error.code() in {KafkaError.UNSUPPORTED_VERSION, KafkaError._UNSUPPORTED_FEATURE}:  # noqa: SLF001
        return Refused(
            f"the broker does not know this request: {text}",
            "the consumer protocol needs Kafka 4.0 or later; before it set STREAM_GROUP_PROTOCOL=classic",
        )
    if not error.fatal() and (error.code() in _AWAY or error.retriable()):
        return Retriable(text)
    return Fatal(text)


def describe(error: KafkaError) -> str:
    """Return what happened, for people."""
    return f"{error.str()} ({error.name()})"
