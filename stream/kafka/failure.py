"""Maps a KafkaError to `stream.errors`: one mapping for transactional calls, one for all others."""

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
_UNAVAILABLE = {
    KafkaError._TRANSPORT,  # noqa: SLF001
    KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
    KafkaError._TIMED_OUT,  # noqa: SLF001
    KafkaError._TIMED_OUT_QUEUE,  # noqa: SLF001
    KafkaError._RESOLVE,  # noqa: SLF001
    KafkaError._WAIT_COORD,  # noqa: SLF001
    KafkaError._STATE,  # noqa: SLF001 - the assignment is still changing
    KafkaError._IN_PROGRESS,  # noqa: SLF001
    KafkaError._PREV_IN_PROGRESS,  # noqa: SLF001
    KafkaError._OUTDATED,  # noqa: SLF001
    KafkaError._DESTROY_BROKER,  # noqa: SLF001
    KafkaError._NOENT,  # noqa: SLF001 - the leader is unknown
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
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001 - not all brokers have the metadata yet
    # The group removed this member: the next poll reports which partitions are lost.
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError.FENCED_MEMBER_EPOCH,
}
ACCESS_HINT = (
    "check the user, and have an administrator grant the ACLs of a worker with "
    "`anagram-stream topics acls --principal User:NAME --grant`"
)


CALL_FAILED = (KafkaException, SystemError)
"""Errors of a call that serves callbacks; SystemError if a callback runs after a fatal error."""


def kafka_error(exception: Exception) -> KafkaError:
    """Return the error that an exception carries.

    Raises:
        StreamError: a callback of this package raised it.
        SystemError: it is not a Kafka error.
    """
    carrier = exception.__cause__ if isinstance(exception, SystemError) else exception
    if isinstance(carrier, StreamError):
        raise carrier
    if not isinstance(carrier, KafkaException):
        raise exception
    error = carrier.args[0]
    assert isinstance(error, KafkaError)
    return error


def from_transaction(error: KafkaError, *, timed_out: bool) -> StreamError:
    """Map the error of a transactional call; only these carry librdkafka's three flags.

    `timed_out`: the transaction is older than its timeout. Then the coordinator fenced this producer, not
    another member, and a new producer with the same id can continue (librdkafka#3928). Otherwise the cause is
    unknown: librdkafka gives INVALID_PRODUCER_EPOCH and PRODUCER_FENCED the same code, and the broker returns
    the former to old requests in both cases. Decision 4 describes what the worker does then.
    """
    text = describe(error)
    if error.code() in _FENCED:
        if timed_out:
            return InDoubt(f"the broker aborted the transaction, which was open for too long: {text}")
        return Fenced(
            "the broker refused the producer of this transaction: another worker took over its transactional "
            f"id, or the broker ended the transaction for another reason (librdkafka#3003): {text}"
        )
    if error.code() in _NO_ACCESS:
        return Refused(f"Kafka denied access: {text}", ACCESS_HINT)
    if error.txn_requires_abort() and not error.fatal():
        return Abortable(text)
    return InDoubt(text)


def from_call(error: KafkaError) -> StreamError:
    """Map the error of a consumer or admin call; Retriable if the broker is unavailable or slow."""
    text = describe(error)
    if error.code() in _NO_ACCESS:
        return Refused(f"Kafka denied access: {text}", ACCESS_HINT)
    if "group id does not exist" in text.lower():  # librdkafka reports it as _FATAL
        return Refused(
            f"the group was deleted, or this is another cluster: {text}",
            "run `anagram-stream offsets show`: it shows how to continue",
        )
    is_fenced = "fenced by other consumer" in text  # librdkafka reports it as _FATAL
    if is_fenced or error.code() in {KafkaError.FENCED_INSTANCE_ID, KafkaError.UNRELEASED_INSTANCE_ID}:
        return Fenced(
            "the group refused this member: another worker uses its group.instance.id, or the coordinator "
            f"could not write the group's new state: {text}"
        )
    if error.code() in {KafkaError.UNSUPPORTED_VERSION, KafkaError._UNSUPPORTED_FEATURE}:  # noqa: SLF001
        return Refused(
            f"the broker does not support a request: {text}",
            "the consumer protocol needs Kafka 4.0 or later; unset STREAM_GROUP_PROTOCOL",
        )
    if not error.fatal() and (error.code() in _UNAVAILABLE or error.retriable()):
        return Retriable(text)
    return Fatal(text)


def describe(error: KafkaError) -> str:
    """Return an error as text, with its code."""
    return f"{error.str()} ({error.name()})"


def from_produce(error: KafkaError, *, timed_out: bool) -> StreamError:
    """Map an error that `produce` itself raises: it has no flags, and the record was not sent."""
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:  # a retry does not make it shorter
        return Fatal(f"a record is too large to be produced and must not be skipped: {describe(error)}")
    if error.fatal():
        return from_transaction(error, timed_out=timed_out)
    return Abortable(describe(error))
