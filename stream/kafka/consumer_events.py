"""Decides which errors that a consumer receives instead of records must stop the worker."""

from collections.abc import Mapping

from confluent_kafka import KafkaError

from stream.core.resume import START_OVER
from stream.errors import Fatal, Refused, Retriable, StreamError
from stream.kafka.failure import describe, from_call


def check_event(error: KafkaError, topic: str, partition: int | None, positions: Mapping[int, int]) -> None:
    """Check an error event; return if the client recovers by itself.

    Args:
        error: the error of the event.
        topic: the input topic.
        partition: the partition that the error concerns, if any.
        positions: the positions of the partitions that are delivered.

    Raises:
        Refused: records that the worker needs are gone.
        Fatal: a record is damaged.
        StreamError: any other permanent error.
    """
    code = error.code()
    position = None if partition is None else positions.get(partition)
    if code in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:  # noqa: SLF001
        if position is None:
            return
        if "truncation" in error.str():  # KIP-320; librdkafka has no separate code for it
            raise Refused(
                f"{topic}, partition {partition}: the log was truncated (by an unclean leader "
                "election, or on disk): records that were counted no longer exist, and new records have "
                f"their offsets: {describe(error)}",
                START_OVER,
            )
        raise Refused(
            f"{topic}, partition {partition}: offset {position} is no "
            f"longer in the log (retention, or the topic was created again): {describe(error)}",
            "restart the worker: it reports what is lost and how to continue; a group without committed "
            "offsets continues at the first offset in the log",
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
