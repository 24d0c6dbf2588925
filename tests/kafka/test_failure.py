import pytest
from confluent_kafka import KafkaError, KafkaException

from stream.errors import Abortable, Fatal, Fenced, InDoubt, Refused, Retriable
from stream.kafka.failure import from_call, from_transaction, kafka_error


def error(code: int, *, fatal: bool = False, retriable: bool = False, abort: bool = False) -> KafkaError:
    return KafkaError(code, "why", fatal, retriable, abort)


@pytest.mark.parametrize(
    "code", [KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH]
)
def test_fence_stops_the_worker_unless_its_own_transaction_timed_out(code: int) -> None:
    fenced = error(code, fatal=True)
    assert type(from_transaction(fenced, timed_out=False)) is Fenced
    assert type(from_transaction(fenced, timed_out=True)) is InDoubt


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (error(KafkaError.UNKNOWN_MEMBER_ID, abort=True), Abortable),
        (error(KafkaError.STALE_MEMBER_EPOCH, abort=True), Abortable),
        (error(KafkaError._TIMED_OUT, retriable=True), InDoubt),
        (error(KafkaError._TRANSPORT), InDoubt),
        (error(KafkaError.INVALID_TXN_STATE, fatal=True), InDoubt),
        (error(KafkaError.INVALID_PRODUCER_ID_MAPPING, fatal=True, abort=True), InDoubt),
        (error(KafkaError.TOPIC_AUTHORIZATION_FAILED, abort=True), Refused),
        (error(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, fatal=True), Refused),
    ],
)
def test_each_failure_of_a_transaction_has_its_recovery(given: KafkaError, expected: type[Exception]) -> None:
    assert type(from_transaction(given, timed_out=False)) is expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (error(KafkaError._TIMED_OUT), Retriable),
        (error(KafkaError._TRANSPORT), Retriable),
        (error(KafkaError.UNSTABLE_OFFSET_COMMIT), Retriable),
        (error(KafkaError.FENCED_LEADER_EPOCH), Retriable),
        (error(KafkaError._UNKNOWN_PARTITION, retriable=True), Retriable),
        (error(KafkaError.FENCED_INSTANCE_ID), Fenced),
        (error(KafkaError.GROUP_AUTHORIZATION_FAILED), Refused),
        (error(KafkaError.UNSUPPORTED_VERSION), Refused),
        (error(KafkaError.INVALID_CONFIG), Fatal),
    ],
)
def test_each_failure_of_any_other_call_has_its_recovery(
    given: KafkaError, expected: type[Exception]
) -> None:
    assert type(from_call(given)) is expected


def test_error_that_caused_a_system_error_in_a_callback_is_returned() -> None:
    """The client raises SystemError if another callback runs after a fatal error."""
    fenced = error(KafkaError._FENCED, fatal=True)
    raised = SystemError("returned a result with an exception set")
    raised.__cause__ = KafkaException(fenced)
    assert kafka_error(raised).code() == KafkaError._FENCED
    raised.__cause__ = Fatal("raised by a callback")
    with pytest.raises(Fatal, match="raised by a callback"):
        kafka_error(raised)
    with pytest.raises(SystemError):
        kafka_error(SystemError("another"))
