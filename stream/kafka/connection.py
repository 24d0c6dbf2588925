"""Detects a client that has lost its brokers permanently.

A metadata response without brokers (from a node that shuts down, or from a cluster during a rolling upgrade)
makes librdkafka 2.16 forget every broker. It never reconnects, not even with the strategy `rebootstrap`
(librdkafka#5301, open). Such a client stays silent although the brokers are back. A new client connects.
"""

import time

from confluent_kafka import Consumer, KafkaException

CHECKED_S = 5.0
METADATA_S_MAX = 2.0
LOST_S_MAX = 15.0  # longer than a client needs to reconnect to an available broker


class Connection:
    """Periodically requests metadata from the brokers of one consumer."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._answered_at = self._checked_at = time.monotonic()

    def is_lost(self, consumer: Consumer) -> bool:
        """Return whether no broker has answered this consumer for too long.

        The brokers may be unavailable; then a new consumer cannot reach them either. After it returned True,
        the time starts over.
        """
        now = time.monotonic()
        if now - self._checked_at < CHECKED_S:
            return False
        is_answered = _answers(consumer, self._topic)
        self._checked_at = time.monotonic()
        is_lost = not is_answered and self._checked_at - self._answered_at >= LOST_S_MAX
        if is_answered or is_lost:
            self._answered_at = self._checked_at
        return is_lost


def _answers(consumer: Consumer, topic: str) -> bool:
    try:
        consumer.list_topics(topic, METADATA_S_MAX)
    except KafkaException:
        return False
    return True
