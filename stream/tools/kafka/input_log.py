"""Checks whether the input log still contains what was counted (KIP-320), as a seek of the worker does."""

import time
from collections.abc import Mapping

from confluent_kafka import KafkaException, TopicPartition

from stream.core.evidence import CommittedOffset
from stream.errors import Retriable
from stream.kafka.clients import Options, make_consumer
from stream.kafka.failure import from_call, kafka_error

CHECK_S_MAX = 10.0


def truncated_partitions(options: Options, topic: str, commits: Mapping[int, CommittedOffset]) -> set[int]:
    """Return the partitions whose log was truncated below the committed offset and has since grown beyond it.

    librdkafka asks the leader where the epoch of the committed offset ends, if a seek carries that epoch; an
    assignment alone is not validated. Records, or the end of the log, arrive only afterwards.

    Raises:
        Retriable: the broker is unavailable.
    """
    known = {number: each for number, each in commits.items() if each.leader_epoch >= 0 and each.offset > 0}
    if not known:
        return set()
    consumer = make_consumer({**options, "enable.partition.eof": True})
    truncated, unknown = set[int](), set(known)
    try:
        consumer.assign([TopicPartition(topic, number, each.offset) for number, each in known.items()])
        for number, each in known.items():
            consumer.seek(TopicPartition(topic, number, each.offset, leader_epoch=each.leader_epoch))
        deadline = time.monotonic() + CHECK_S_MAX
        while unknown:
            if time.monotonic() >= deadline:
                raise Retriable(f"{topic}, partition {min(unknown)}: the broker did not respond in time")
            message = consumer.poll(0.2)
            if message is None or (partition := message.partition()) is None:
                continue
            error = message.error()
            if partition in unknown and error is not None and "truncation" in error.str():
                truncated.add(partition)
            unknown.discard(partition)
    except KafkaException as error:
        raise from_call(kafka_error(error)) from error
    finally:
        consumer.close()
    return truncated
