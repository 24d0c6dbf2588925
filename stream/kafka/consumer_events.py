"""Which error that a consumer receives in place of a record must stop the worker."""

from collections.abc import Mapping

from confluent_kafka import KafkaError

from stream.core.resume import START_OVER
from stream.errors import Fatal, Refused, Retriable, StreamError
from stream.kafka.failure import describe, from_call


def check_event(error: KafkaError, topic: str, partition: int | None, positions: Mapping[int, int]) -> None:
    """Return if the client recovers by itself.

    Args:
        error: of the event.
        topic: the input topic.
        partition: that it is about; None: none.
        positions: of the partitions whose records are due.

    Raises:
        Refused: records that the worker needs are gone.
        Fatal: a record is damaged.
        StreamError: another error that does not pass.
    """
    code = error.code()
    position = None if partition is None else positions.get(partition)
    if code in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:  # noqa: SLF001
        if position is None:
            return
        if "truncation" in error.str():  # KIP-320; librdkafka has no code of its own for it
            raise Refused(
                f"{topic}, partition {partition}: the log was truncated (an unclean leader "
                "election, or a log that was cut): records that were counted no longer exist, and new "
                f"ones have their offsets: {describe(error)}",
                START_OVER,
            )
        raise Refused(
            f"{topic}, partition {partition}: offset {position} is no "
            f"longer in the log (retention, or the topic was created again): {describe(error)}",
            "restart the worker: it says what is lost and how to continue; a group that had committed "
            "nothing goes on at the first offset that is left",
        )
    if code == KafkaError._MAX_POLL_EXCEEDED:  # noqa: SLF001 - `lost` follows
        return
    if code in {KafkaError._BAD_MSG, KafkaError._BAD_COMPRESSION}:  # noqa: SLF001
        raise Fatal(
            f"{topic}, partition {partition}: a damaged record at or after offset "
            f"{position}: {describe(error)}"
        )
    failure: StreamError = from_call(error)
    if isinstance(failure, Retriable):
        return  # librdkafka recovers by itself; other calls report a broker that stays unavailable
    raise failure
