"""Leaves the consumer group, even as a static member."""

import contextlib
import time

from confluent_kafka import Consumer

from stream.kafka.failure import CALL_FAILED

LEAVE_S_MAX, POLL_S = 2.0, 0.01


def leave_group(consumer: Consumer) -> None:
    """Leave the group, so that other members get the partitions at once.

    A static member that only closes its consumer stays in the group (KIP-345). librdkafka lets it leave if it
    unsubscribes first; it has left when its member id is empty.
    """
    deadline = time.monotonic() + LEAVE_S_MAX
    with contextlib.suppress(*CALL_FAILED):
        consumer.unsubscribe()
        while consumer.memberid() and time.monotonic() < deadline:
            consumer.poll(POLL_S)
